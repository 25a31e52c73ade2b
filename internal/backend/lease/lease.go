// Package lease holds a coordination.k8s.io Lease, so that of several processes on one state only one acts. It fences: the
// holder learns that it has lost the lease before another can take it. It knows nothing of what the lease guards.
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

// Config says which lease, for whom.
type Config struct {
	Server          Server
	Namespace, Name string
	// Holder is unique to the process: a restarted one must not take its forerunner's lease for its own.
	Holder string
	// Duration is how long a lease lasts that is not renewed. Defaults to 15 s.
	Duration time.Duration
	// Waiting is told who holds the lease, each time that this changes while Acquire waits. Defaults to nothing.
	Waiting func(holder string)
}

// ErrLost tells that the lease could not be renewed in time, or is another's.
var ErrLost = errors.New("the lease is lost")

// Lease is one that is held. Whoever acquired it calls Release.
type Lease struct {
	cfg  Config
	stop context.CancelFunc
	lost context.Context
	done chan struct{}
}

// record is the object; what others put beside is kept by its metadata alone, for nobody else writes a Lease.
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

// Acquire waits until the lease is free and takes it. Whether another's has run out is judged by how long it was seen
// unchanged here, for clocks differ.
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
			return nil, fmt.Errorf("take the lease %s/%s: %w", cfg.Namespace, cfg.Name, err)
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

// acquirer remembers what it saw of another's lease.
type acquirer struct {
	Config
	version, holder string
	since           time.Time
}

// try takes the lease if it is free; nil is not yet. The time is from before the request: the server's came later.
func (a *acquirer) try(ctx context.Context) (*record, time.Time, error) {
	now := time.Now()
	seen, err := a.get(ctx)
	switch {
	case kube.NotFound(err):
		got, err := a.write(ctx, http.MethodPost, a.fresh(now, 0))
		return got, now, pass(err)
	case err != nil:
		return nil, now, pass(err)
	}
	if seen.Spec.HolderIdentity != "" && !a.expired(seen) {
		return nil, now, nil
	}
	r := a.fresh(now, seen.Spec.LeaseTransitions+1)
	r.Metadata.ResourceVersion = seen.Metadata.ResourceVersion
	got, err := a.write(ctx, http.MethodPut, r)
	return got, now, pass(err)
}

// expired says whether the lease has stood unchanged for as long as its holder said that it lasts.
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

// pass keeps errors that waiting cannot mend. A conflict is another who was quicker.
func pass(err error) error {
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

// micro is Kubernetes' MicroTime.
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

// write creates or replaces the lease. A replacement names the version that it replaces, so that only one of two wins.
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
