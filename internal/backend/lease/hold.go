package lease

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// hold renews the lease until it is released or lost.
func hold(cfg Config, r *record, renewed time.Time) *Lease {
	renewing, stop := context.WithCancel(context.Background())
	lost, lose := context.WithCancelCause(context.Background())
	l := &Lease{cfg: cfg, stop: stop, lost: lost, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		lose(l.renew(renewing, r, renewed))
	}()
	return l
}

// Lost ends with the cause ErrLost when the lease is lost: a third of its duration before another can take it, since a
// request that hangs renews nothing. It ends without that cause on release.
func (l *Lease) Lost() context.Context { return l.lost }

// renew returns nil when it was told to stop.
func (l *Lease) renew(ctx context.Context, r *record, renewed time.Time) error {
	for {
		deadline := renewed.Add(l.cfg.Duration * 2 / 3)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(l.cfg.Duration/5, time.Until(deadline))):
		}
		now := time.Now()
		if !now.Before(deadline) {
			return ErrLost
		}
		next, err := l.once(ctx, r, now, deadline)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was released
		case err == nil:
			r, renewed = next, now
		case errors.Is(err, ErrLost), kube.Code(err) == http.StatusConflict, kube.NotFound(err):
			return ErrLost
		}
	}
}

func (l *Lease) once(ctx context.Context, r *record, now, deadline time.Time) (*record, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	next := *r
	next.Spec.RenewTime = micro(now)
	got, err := l.cfg.write(ctx, http.MethodPut, &next)
	if kube.Code(err) != http.StatusConflict {
		return got, err
	}
	// A renewal whose answer was lost has changed the version: the lease may still be ours.
	seen, err := l.cfg.get(ctx)
	if err != nil {
		return nil, err
	}
	if seen.Spec.HolderIdentity != l.cfg.Holder {
		return nil, ErrLost
	}
	seen.Spec.RenewTime = micro(now)
	return l.cfg.write(ctx, http.MethodPut, seen)
}

// Release gives the lease back, so that the next one need not wait until it runs out. Call it when what the lease guards
// has ended.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	<-l.done
	if errors.Is(context.Cause(l.lost), ErrLost) {
		return nil
	}
	r, err := l.cfg.get(ctx)
	if err != nil || r.Spec.HolderIdentity != l.cfg.Holder {
		return err
	}
	r.Spec.HolderIdentity, r.Spec.LeaseDurationSeconds = "", 1
	_, err = l.cfg.write(ctx, http.MethodPut, r)
	return err
}
