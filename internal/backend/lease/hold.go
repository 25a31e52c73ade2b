package lease

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// hold starts a goroutine that renews the lease until it is released or lost.
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

// Lost returns a context that is canceled, with the cause ErrLost, when the lease is lost: if it could not be renewed for two
// thirds of its duration, so a third of its duration before another process can acquire it. Release cancels the context with
// another cause.
func (l *Lease) Lost() context.Context { return l.lost }

// renew renews the lease five times per duration. It returns ErrLost when the lease is lost, and nil when ctx is canceled.
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

// once renews the lease once. A request that hangs is canceled at the deadline.
func (l *Lease) once(ctx context.Context, r *record, now, deadline time.Time) (*record, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	next := *r
	next.Spec.RenewTime = micro(now)
	got, err := l.cfg.write(ctx, http.MethodPut, &next)
	if kube.Code(err) != http.StatusConflict {
		return got, err
	}
	// The version may have changed because an earlier renewal succeeded, but its response was lost: then the lease is still held.
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

// Release releases the lease, so that another process need not wait until it expires. Call it after the work that the lease
// protects has ended. It does nothing if the lease is lost.
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
