// Package ekstask runs the Tasks of Step Functions' integration with Amazon EKS against any Kubernetes: eks:runJob,
// eks:runJob.sync and eks:call, with their fields, results and errors. A Job that was created is found again after a crash
// by who created it, so that no attempt makes two. The engine calls it; internal/backend/kube speaks to the API server.
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

// Prefixes are what the engine registers a Runner for: one for each partition of AWS that a definition may be written for.
var Prefixes = []string{"arn:aws:states:::eks:", "arn:aws-cn:states:::eks:", "arn:aws-us-gov:states:::eks:"}

// The resources, less their prefix.
const (
	runJob     = "runJob"
	runJobSync = "runJob.sync"
	call       = "call"
)

// Config says where Tasks go.
type Config struct {
	// Default is the cluster of a Task that names none, and where contexts are looked up that a Task names as ClusterName.
	Default kube.Config
	// Clusters say where a ClusterName leads, also where the Task has an Endpoint of its own.
	Clusters map[string]kube.Config
	// Policy limits what executions that came over the network may use. Defaults to nothing that they name.
	Policy policy.Policy
	// Token makes tokens for a cluster that a Task names by Endpoint and CertificateAuthority. It keeps what it made while
	// that is good. Without it such a cluster must be in Clusters.
	Token func(ctx context.Context, clusterName, endpoint string) (string, error)
	// CallGrace is how long eks:call waits for an API server that does not answer. Defaults to 60 s.
	CallGrace time.Duration
	// StopWait bounds a stop that is not confirmed. Defaults to 5 minutes.
	StopWait time.Duration
	// UserAgent defaults to rayorch.
	UserAgent string
}

// Runner is a task.Runner.
type Runner struct {
	cfg     Config
	mu      sync.Mutex
	clients map[string]*kube.Client
	logs    followers
}

// New makes a runner; it reaches for no cluster before the first Task.
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

// Close ends the reading of logs that go on after their Task. Call it before the engine is closed, which keeps them.
func (r *Runner) Close() { r.logs.close() }

// Run does one attempt.
func (r *Runner) Run(ctx context.Context, req *task.Request) task.Result {
	_, name, _ := strings.Cut(req.Resource, ":::eks:")
	switch name {
	case runJob, runJobSync:
		return r.runJob(ctx, req, name == runJobSync)
	case call:
		return r.call(ctx, req)
	}
	return task.Fail(stepfn.StatesRuntime, fmt.Sprintf("the resource %s is none of eks:runJob, eks:runJob.sync and eks:call", req.Resource))
}

// permitted checks the cluster that a task names. The owner has mapped the names in Config.Clusters itself.
func (r *Runner) permitted(labels map[string]string, t *target) error {
	_, mapped := r.cfg.Clusters[t.ClusterName]
	switch {
	case mapped:
		return nil
	case t.Endpoint == "" && t.ClusterName == "":
		return nil // see client
	case t.Endpoint == "":
		return r.cfg.Policy.Context(labels, t.ClusterName)
	}
	if err := encrypted(t.Endpoint); err != nil {
		return err
	}
	return r.cfg.Policy.Endpoint(labels, t.ClusterName, t.Endpoint, t.CertificateAuthority)
}

// encrypted refuses an endpoint that would get a token in plain text.
func encrypted(endpoint string) error {
	if ray.Confidential(endpoint) {
		return nil
	}
	return &task.RefusedError{Text: fmt.Sprintf("the endpoint %q is not an https address: the token is sent only over TLS or to loopback addresses", endpoint)}
}

// client finds the cluster that a task means, and checks that its execution may use it.
func (r *Runner) client(req *task.Request, t *target) (*kube.Client, error) {
	if err := r.permitted(req.Labels, t); err != nil {
		return nil, err
	}
	c, err := r.open(t)
	if err == nil && t.ClusterName == "" && t.Endpoint == "" && c.Context() != "" { // not the cluster of this pod
		err = r.cfg.Policy.Context(req.Labels, c.Context())
	}
	return c, err
}

func (r *Runner) open(t *target) (*kube.Client, error) {
	cfg, key := r.locate(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[key]; c != nil {
		return c, nil
	}
	if cfg.Endpoint != "" && cfg.Token == nil {
		return nil, fmt.Errorf("no credentials for the cluster %q at %s: map its name to a context of a kubeconfig", t.ClusterName, t.Endpoint)
	}
	c, err := kube.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("the cluster %q: %w", t.ClusterName, err)
	}
	r.clients[key] = c
	return c, nil
}

// locate says how to reach the cluster, and a key that is another for each other way.
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

// forget makes the next Task read the kubeconfig anew, when this one's credentials were of no use: a cluster that was made
// anew has other ones.
func (r *Runner) forget(lost *kube.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range r.clients {
		if c == lost {
			delete(r.clients, key)
		}
	}
}

// failed makes a result of an error: what the server answered is EKS.<status>.
func (r *Runner) failed(c *kube.Client, err error) task.Result {
	var answer *kube.StatusError
	if errors.As(err, &answer) {
		if answer.Code == 401 {
			r.forget(c)
		}
		return task.Fail(fmt.Sprint(stepfn.EKS, answer.Code), answerJSON(answer.Response))
	}
	var away *kube.UnreachableError
	if errors.As(err, &away) {
		if away.Never {
			r.forget(c)
		}
		return task.Fail(stepfn.EKSUnreachable, err.Error())
	}
	return task.Fail(stepfn.StatesTaskFailed, err.Error())
}
