// Package ekstask runs the Tasks of Step Functions' integration with Amazon EKS on any Kubernetes cluster: eks:runJob, eks:runJob.sync and
// eks:call, with their fields, results and errors. Each attempt creates its Job with its own field manager. After a crash, it finds the
// Job by that, so that no attempt creates two Jobs. The package calls the API server through internal/backend/kube.
package ekstask

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// Prefixes are the prefixes of the resources for which the engine registers a Runner: one for each AWS partition.
var Prefixes = []string{"arn:aws:states:::eks:", "arn:aws-cn:states:::eks:", "arn:aws-us-gov:states:::eks:"}

// The supported resources, without the prefix.
const (
	runJob     = "runJob"
	runJobSync = "runJob.sync"
	call       = "call"
)

// Config configures a Runner.
type Config struct {
	// Default is the cluster of Tasks without ClusterName. A ClusterName that is not in Clusters is a context of its kubeconfig.
	Default kube.Config
	// Clusters maps ClusterName to clusters. It takes precedence over the Endpoint of a Task.
	Clusters map[string]kube.Config
	// Policy limits what executions that came over the network may use. The zero value allows only the clusters in Clusters, and the
	// cluster of this pod.
	Policy policy.Policy
	// Token returns a bearer token for a cluster that a Task specifies by Endpoint and CertificateAuthority. It should cache tokens. If
	// it is nil, such a cluster must be in Clusters.
	Token func(ctx context.Context, clusterName, endpoint string) (string, error)
	// CallGrace is how long eks:call retries if the API server does not respond. Default: 60 s.
	CallGrace time.Duration
	// StopWait is how long the Runner waits for the end of a deleted Job's pods. Default: 5 minutes.
	StopWait time.Duration
	// UserAgent is the User-Agent header of requests. Default: rayorch.
	UserAgent string
}

// Runner implements task.Runner. Close it before the engine is closed.
type Runner struct {
	cfg     Config
	mu      sync.Mutex
	clients map[string]*kube.Client // by the key that locate returns
	logs    followers
}

// New returns a Runner. The Runner connects to a cluster when the first Task needs it.
func New(cfg Config) *Runner {
	if cfg.CallGrace == 0 {
		cfg.CallGrace = time.Minute
	}
	if cfg.StopWait == 0 {
		cfg.StopWait = 5 * time.Minute
	}
	r := &Runner{cfg: cfg, clients: map[string]*kube.Client{}}
	r.logs.of = map[string]*follower{}
	r.logs.ctx, r.logs.cancel = context.WithCancel(context.Background())
	return r
}

// Close stops reading logs of Ray jobs, which continues after the calls that started it. Close the Runner before the engine, which stores
// these logs.
func (r *Runner) Close() { r.logs.close() }

// Run implements task.Runner.
func (r *Runner) Run(ctx context.Context, req *task.Request) task.Result {
	_, name, _ := strings.Cut(req.Resource, ":::eks:")
	switch name {
	case runJob, runJobSync:
		return r.runJob(ctx, req, name == runJobSync)
	case call:
		return r.call(ctx, req)
	}
	return task.Fail(stepfn.StatesRuntime, fmt.Sprintf("the resource %s is not supported: it must be eks:runJob, eks:runJob.sync or eks:call",
		req.Resource))
}

// permitted checks that the execution is allowed to use the cluster. The clusters in Config.Clusters are always allowed.
func (r *Runner) permitted(labels map[string]string, t *target) error {
	_, mapped := r.cfg.Clusters[t.ClusterName]
	switch {
	case mapped:
		return nil
	case t.Endpoint == "" && t.ClusterName == "":
		return nil // client checks the default cluster
	case t.Endpoint == "":
		return r.cfg.Policy.Context(labels, t.ClusterName)
	}
	if err := encrypted(t.Endpoint); err != nil {
		return err
	}
	return r.cfg.Policy.Endpoint(labels, t.ClusterName, t.Endpoint, t.CertificateAuthority)
}

// encrypted returns an error for an endpoint to which a token would be sent in plain text.
func encrypted(endpoint string) error {
	if ray.Confidential(endpoint) {
		return nil
	}
	return &task.RefusedError{Text: fmt.Sprintf("the endpoint %q is not an https address: rayorch sends tokens only over TLS or to loopback "+
		"addresses", endpoint)}
}

// client returns a client of the cluster that a Task specifies, after it has checked that the execution is allowed to use it.
func (r *Runner) client(req *task.Request, t *target) (*kube.Client, error) {
	if err := r.permitted(req.Labels, t); err != nil {
		return nil, err
	}
	c, err := r.open(t)
	if err == nil && t.ClusterName == "" && t.Endpoint == "" && c.Context() != "" { // Context is empty for the cluster of this pod
		err = r.cfg.Policy.Context(req.Labels, c.Context())
	}
	return c, err
}

// open returns a client of the cluster, which all Tasks on the cluster share.
func (r *Runner) open(t *target) (*kube.Client, error) {
	cfg, key := r.locate(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[key]; c != nil {
		return c, nil
	}
	if cfg.Endpoint != "" && cfg.Token == nil {
		return nil, fmt.Errorf("no credentials for the cluster %q at %s: map it to a kubeconfig context with --eks-cluster %s=CONTEXT",
			t.ClusterName, t.Endpoint, t.ClusterName)
	}
	c, err := kube.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("the cluster %q: %w", t.ClusterName, err)
	}
	r.clients[key] = c
	return c, nil
}

// locate returns the configuration of a client for the cluster, and a key that identifies this configuration.
func (r *Runner) locate(t *target) (cfg kube.Config, key string) {
	cfg, mapped := r.cfg.Clusters[t.ClusterName]
	switch {
	case mapped:
		key = "name " + t.ClusterName
	case t.Endpoint != "":
		cfg = kube.Config{Endpoint: t.Endpoint, CertificateAuthority: t.CertificateAuthority}
		if r.cfg.Token != nil {
			cfg.Token = func(ctx context.Context) (string, error) { return r.cfg.Token(ctx, t.ClusterName, t.Endpoint) }
		}
		key = strings.Join([]string{"endpoint", t.Endpoint, t.CertificateAuthority, t.ClusterName}, " ")
	default:
		cfg = r.cfg.Default
		if t.ClusterName != "" {
			cfg.Context, cfg.InCluster, cfg.Endpoint = t.ClusterName, false, ""
		}
		key = "context " + t.ClusterName
	}
	cfg.UserAgent = r.cfg.UserAgent
	return cfg, key
}

// forget removes a client whose credentials were rejected, so that the next Task reads the kubeconfig again: a cluster that was deleted
// and created again has other credentials.
func (r *Runner) forget(lost *kube.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range r.clients {
		if c == lost {
			delete(r.clients, key)
		}
	}
}

// failed returns a failed result for an error. An error response of the server becomes the error EKS.<status>.
func (r *Runner) failed(c *kube.Client, err error) task.Result {
	var status *kube.StatusError
	if errors.As(err, &status) {
		if status.Code == 401 {
			r.forget(c)
		}
		return task.Fail(fmt.Sprint(stepfn.EKS, status.Code), responseJSON(status.Response))
	}
	var away *kube.UnreachableError
	if errors.As(err, &away) {
		if away.Permanent {
			r.forget(c)
		}
		return task.Fail(stepfn.EKSUnreachable, err.Error())
	}
	return task.Fail(stepfn.StatesTaskFailed, err.Error())
}
