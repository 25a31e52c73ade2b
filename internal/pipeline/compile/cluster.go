package compile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// Defaults of targets in a cluster.
const (
	// DefaultImage is the submitter's: the public image of the Ray release that rayorch is tested with. Nodes that run Ray
	// often have it already.
	DefaultImage = "rayproject/ray:2.60.0"
	// DefaultService is the head's service as KubeRay's chart names it for a cluster "kuberay".
	DefaultService = "kuberay-head-svc"
	defaultPort    = 8265
	defaultTTL     = 24 * 3600
	// longestRun is Step Functions' own limit, in seconds. Objects that must have a deadline get it if the file has no timeout.
	longestRun = 365 * 24 * 3600
)

// clusterTarget is a target of kind kubernetes or aws, with its settings from options, target and defaults.
type clusterTarget struct {
	kind                pipeline.TargetKind
	mode                pipeline.SubmitMode
	namespace, context  string
	stepContext         string // of the step, or the part of the cleanup, that is being compiled
	eks                 Cluster
	service, rayCluster string
	port                int
	image, jobImage     string
	account, claim      string
	target              pipeline.Target
	pods                pipeline.PodsTarget
	pack                func(dir string, excludes []string) ([]byte, error)
	dirs                map[string]*workingDir // by directory and excludes
	order               []string
	modules             map[*pipeline.RayJob][]*workingDir // of py_modules
	scripts             string                             // the ConfigMap with the submitter's script
	others              []string                           // contexts that steps name
	cleanupOf           string                             // the end of the states' names while another cluster's cleanup is compiled
	placing             bool                               // working directories are placed on the claim first
}

// newClusterTarget merges the settings: options take precedence over the target.
func newClusterTarget(p *pipeline.Pipeline, t pipeline.Target, o Options) *clusterTarget {
	at := &clusterTarget{kind: t.Kind, target: t, eks: o.Cluster, pack: o.Pack, dirs: map[string]*workingDir{}, modules: map[*pipeline.RayJob][]*workingDir{},
		mode:       cmp.Or(pipeline.SubmitMode(o.Submit), t.Submit, pipeline.SubmitJob),
		namespace:  cmp.Or(o.Namespace, t.Namespace, "default"),
		context:    cmp.Or(o.Context, t.Context),
		rayCluster: t.Ray.Cluster,
		service:    cmp.Or(o.RayService, t.Ray.Service),
		port:       cmp.Or(t.Ray.Port, defaultPort),
		image:      cmp.Or(o.Image, t.Image, DefaultImage),
		jobImage:   cmp.Or(o.JobImage, t.JobImage),
		claim:      cmp.Or(o.Claim, p.Storage.Claim)}
	if t.Pods != nil {
		at.pods = *t.Pods
	}
	if t.AWS != nil {
		at.eks.Name = cmp.Or(at.eks.Name, t.AWS.ClusterName)
		at.eks.Endpoint = cmp.Or(at.eks.Endpoint, t.AWS.ClusterEndpoint)
		at.eks.CertificateAuthority = cmp.Or(at.eks.CertificateAuthority, t.AWS.ClusterAuthData)
	}
	at.account = cmp.Or(o.ServiceAccount, at.pods.ServiceAccount)
	if at.service == "" && at.rayCluster != "" {
		at.service = at.rayCluster + "-head-svc"
	}
	at.service = cmp.Or(at.service, DefaultService)
	if at.rayCluster == "" {
		at.rayCluster = strings.TrimSuffix(at.service, "-head-svc")
	}
	return at
}

// ttl is how long finished objects are kept, in seconds.
func (at *clusterTarget) ttl() int64 {
	if at.pods.TTL > 0 {
		return at.pods.TTL.Seconds()
	}
	return defaultTTL
}

// ownCluster reports whether each Ray step has a Ray cluster of its own.
func (at *clusterTarget) ownCluster() bool {
	return at.mode == pipeline.SubmitRayJob && at.target.Ray.ClusterSpec != nil
}

// checkTarget reports settings of the target that cannot be combined.
func (c *compiler) checkTarget(name string) {
	at, path := c.at, "targets."+name
	report := func(field, format string, args ...any) {
		c.problems = append(c.problems, c.p.Problem(path+field, fmt.Sprintf(format, args...)))
	}
	if !at.mode.Known() {
		report(".submit", "unknown submission mode %q; expected one of job, proxy, rayjob", at.mode)
	}
	if !pipeline.IsDNSLabel(at.namespace) {
		report(".namespace", "%q is not a valid namespace", at.namespace)
	}
	if !pipeline.IsDNSLabel(at.service) { // an option's, since the file's was checked
		report(".ray.service", "%q is not the name of a Service; "+pipeline.WantDNSLabel, at.service)
	}
	if at.mode == pipeline.SubmitProxy && at.target.Ray.Token != nil {
		report(".submit", "proxy cannot send a token; use job or rayjob")
	}
	if at.mode != pipeline.SubmitRayJob && (at.target.Ray.ClusterSpec != nil || at.target.Queue != "") {
		report("", "clusterSpec and queue need submit: rayjob")
	}
	if at.kind == pipeline.TargetAWS && (at.eks.Name == "" || at.eks.Endpoint == "" || at.eks.CertificateAuthority == "") {
		report(".aws", "needs clusterName, clusterEndpoint and clusterAuthData: the name, endpoint and certificate authority of the cluster")
	}
}

// noteTarget notes what the target assumes.
func (c *compiler) noteTarget(o Options) {
	at := c.at
	if t := at.target.Ray; c.ray && !at.ownCluster() && t.Service == "" && t.Cluster == "" && o.RayService == "" {
		c.note("the target names neither ray.service nor ray.cluster: using %s", at.service)
	}
	if c.ray && at.claim == "" {
		c.note("there is no storage.claim: steps share files only if Ray's pods see the same %s", c.storage)
	}
	if at.kind == pipeline.TargetAWS && (c.job || c.ray && at.mode == pipeline.SubmitJob) {
		c.note("Step Functions sees the end of a Kubernetes Job after one to five minutes; with submit: proxy or rayjob, it sees the end of a Ray step after 1 s or 1 %% of the step's time")
	}
}

// checkContext notes the other clusters that steps name.
func (c *compiler) checkContext(s *pipeline.Step, path string) {
	switch {
	case s.Context == "" || s.Context == c.at.context:
		return
	case c.at.kind == pipeline.TargetAWS:
		c.problems = append(c.problems, c.p.Problem(path+".context", "is only for targets of kind kubernetes; on AWS, a state machine uses one cluster"))
	case !slices.Contains(c.at.others, s.Context):
		c.at.others = append(c.at.others, s.Context)
	}
}

// checkShown refuses secrets that Ray's record of a job would show.
func (c *compiler) checkShown(w wanted) {
	if len(c.shownByRay(w.ray.Secrets)) > 0 {
		c.problem(w.path+".ray.secrets", "need submit: job, whose pod reads them, or inRayPods: true; %s would show them", c.at.mode)
	}
}

// checkClusterSecrets reports secrets that no pod of this target can get.
func (c *compiler) checkClusterSecrets() {
	for _, e := range c.p.Secrets.Entries {
		if c.secrets[e.Key] && e.Value.KubernetesSecret == nil {
			c.problems = append(c.problems, c.p.Problem("secrets."+e.Key, "needs kubernetesSecret to be used by a target of kind "+string(c.at.kind)))
		}
	}
}

// eksArguments are the arguments of a task in the cluster. The cluster's address and certificate are long and the same in all tasks, so
// they are a variable of the run.
func (c *compiler) eksArguments(kv ...any) *value.Object {
	o := &value.Object{}
	switch {
	case c.at.kind == pipeline.TargetAWS:
		for _, name := range []string{"ClusterName", "CertificateAuthority", "Endpoint"} {
			o.Set(name, query.Var("eks").Get(name).Value())
		}
	case cmp.Or(c.at.stepContext, c.at.context) != "":
		o.Set("ClusterName", query.Plain(cmp.Or(c.at.stepContext, c.at.context)))
	}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != nil {
			o.Set(kv[i].(string), kv[i+1])
		}
	}
	return o
}

// clusterVariables are those that all tasks of a run share.
func (c *compiler) clusterVariables(assign *value.Object) {
	if c.at.kind == pipeline.TargetAWS {
		assign.Set("eks", value.Obj("ClusterName", c.at.eks.Name, "CertificateAuthority", c.at.eks.CertificateAuthority,
			"Endpoint", c.at.eks.Endpoint))
	}
	assign.Set("labels", c.labels(executionMark(executionID).Value()))
	annotations := value.Obj("rayorch.dev/execution", executionID.Value())
	for _, e := range c.at.pods.Annotations.Entries {
		annotations.Set(e.Key, query.Plain(e.Value))
	}
	assign.Set("annotations", annotations)
	if c.submits() {
		assign.Set("submitter", c.submitter())
	}
	if c.reachesRay() {
		assign.Set("killer", query.Plain(killer))
	}
	if dirs := c.inlineDirs(); dirs.Len() > 0 {
		assign.Set("dirs", dirs)
	}
	if c.ray && c.at.mode == pipeline.SubmitJob {
		codes := &value.Object{}
		for i, name := range submitterErrors {
			codes.Set(fmt.Sprint(firstCode+i), name)
		}
		assign.Set("codes", codes)
	}
}

// submits reports whether the pipeline has pods that run the submitter's script.
func (c *compiler) submits() bool { return c.ray && (c.at.mode == pipeline.SubmitJob || c.at.placing) }

// labels are on every object of a run. The execution's label is the hash that the ids of its jobs start with.
func (c *compiler) labels(execution string) *value.Object {
	o := value.Obj("app.kubernetes.io/managed-by", "rayorch", "rayorch.dev/pipeline", c.p.Name, "rayorch.dev/execution", execution)
	for _, e := range c.at.pods.Labels.Entries {
		o.Set(e.Key, query.Plain(e.Value))
	}
	return o
}

// executionMark is the part of the ids of an execution's jobs that is the label of all its objects.
func executionMark(execution query.Expr) query.Expr {
	return query.Call("substring", runPrefix(execution), query.Int(0), query.Int(13))
}

// hashed is a name with a hash of the content that it stands for.
func hashed(name string, content ...[]byte) string {
	h := sha256.New()
	for _, part := range content {
		h.Write(part)
	}
	return name + "-" + hex.EncodeToString(h.Sum(nil))[:10]
}
