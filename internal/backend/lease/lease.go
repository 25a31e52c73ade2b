// Package lease acquires and holds a coordination.k8s.io Lease, so that only one of several processes with the same state is
// active. The holder learns that it lost the lease before another process can acquire it.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Server is the part of a Kubernetes client that a lease needs.
type Server interface {
	Do(ctx context.Context, r kube.Request) (kube.Response, error)
}

// Config specifies the lease and its holder.
type Config struct {
	Server          Server
	Namespace, Name string
	// Holder is unique to the process, so that a restarted process does not mistake its predecessor's lease for its own.
	Holder string
	// Duration is the time after which a lease expires unless it is renewed. Defaults to 15 s.
	Duration time.Duration
	// Waiting is called with the current holder each time that it changes while Acquire waits. It may be nil.
	Waiting func(holder string)
}

// ErrLost is the error if the lease could not be renewed in time or has another holder.
var ErrLost = errors.New("the lease is lost")

// Lease is a lease that this process holds. The caller of Acquire must call Release.
type Lease struct {
	cfg  Config
	stop context.CancelFunc
	lost context.Context
	done chan struct{}
}

// record is the Lease object. Updates drop fields that it does not have, because no other program writes the object.
type record struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       spec     `json:"spec"`
}

type metadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
}

type spec struct {
	HolderIdentity       string `json:"holderIdentity"`
	LeaseDurationSeconds int    `json:"leaseDurationSeconds"`
	AcquireTime          string `json:"acquireTime,omitempty"`
	RenewTime            string `json:"renewTime,omitempty"`
	LeaseTransitions     int    `json:"leaseTransitions"`
}

// Acquire waits until the lease is free and acquires it. It considers another process's lease expired if it did not change for
// its duration on the local clock, because the clocks of machines differ.
func Acquire(ctx context.Context, cfg Config) (*Lease, error) {
	if cfg.Duration == 0 {
		cfg.Duration = 15 * time.Second
	}
	if cfg.Waiting == nil {
		cfg.Waiting = func(string) {}
	}
	a := acquirer{Config: cfg}
	for {
		got, renewed, err := a.try(ctx)
		if err != nil {
			return nil, fmt.Errorf("acquire the lease %s/%s: %w", cfg.Namespace, cfg.Name, err)
		}
		if got != nil {
			return hold(cfg, got, renewed), nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(cfg.Duration / 10):
		}
	}
}

// acquirer remembers the last state of another process's lease.
type acquirer struct {
	Config
	version, holder string
	since           time.Time // when version was first seen
}

// try acquires the lease if it is free, and returns nil if it is not. The time is that of the renewal: taken before the request,
// so that it is not later than the server's.
func (a *acquirer) try(ctx context.Context) (*record, time.Time, error) {
	now := time.Now()
	seen, err := a.get(ctx)
	switch {
	case kube.NotFound(err):
		got, err := a.write(ctx, http.MethodPost, a.fresh(now, 0))
		return got, now, permanent(err)
	case err != nil:
		return nil, now, permanent(err)
	}
	if seen.Spec.HolderIdentity != "" && !a.expired(seen) {
		return nil, now, nil
	}
	r := a.fresh(now, seen.Spec.LeaseTransitions+1)
	r.Metadata.ResourceVersion = seen.Metadata.ResourceVersion
	got, err := a.write(ctx, http.MethodPut, r)
	return got, now, permanent(err)
}

// expired reports whether the lease has not changed for its duration.
func (a *acquirer) expired(r *record) bool {
	if r.Metadata.ResourceVersion != a.version {
		a.version, a.since = r.Metadata.ResourceVersion, time.Now()
	}
	if r.Spec.HolderIdentity != a.holder {
		a.holder = r.Spec.HolderIdentity
		a.Waiting(a.holder)
	}
	return time.Since(a.since) > time.Duration(r.Spec.LeaseDurationSeconds)*time.Second
}

// permanent returns err if retrying cannot help, or else nil. A conflict means that another process was faster.
func permanent(err error) error {
	if kube.Code(err) == http.StatusConflict || kube.Temporary(err) {
		return nil
	}
	return err
}

func (c Config) fresh(now time.Time, transitions int) *record {
	return &record{
		APIVersion: "coordination.k8s.io/v1", Kind: "Lease",
		Metadata: metadata{Name: c.Name, Namespace: c.Namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": "rayorch"}},
		Spec: spec{
			HolderIdentity: c.Holder, LeaseDurationSeconds: int((c.Duration + time.Second - 1) / time.Second),
			AcquireTime: micro(now), RenewTime: micro(now), LeaseTransitions: transitions,
		},
	}
}

// micro formats a time as a MicroTime of Kubernetes.
func micro(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (c Config) path() string {
	return "/apis/coordination.k8s.io/v1/namespaces/" + url.PathEscape(c.Namespace) + "/leases"
}

func (c Config) get(ctx context.Context) (*record, error) {
	res, err := c.Server.Do(ctx, kube.Request{Path: c.path() + "/" + url.PathEscape(c.Name)})
	if err != nil {
		return nil, err
	}
	return decode(res.Body)
}

// write creates (POST) or replaces (PUT) the lease. A replacement contains the version that it replaces, so that only one of
// two concurrent ones succeeds.
func (c Config) write(ctx context.Context, method string, r *record) (*record, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	path := c.path()
	if method == http.MethodPut {
		path += "/" + url.PathEscape(c.Name)
	}
	res, err := c.Server.Do(ctx, kube.Request{Method: method, Path: path, Body: body})
	if err != nil {
		return nil, err
	}
	return decode(res.Body)
}

func decode(body []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("read the lease: %w", err)
	}
	return &r, nil
}
