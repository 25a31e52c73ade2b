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
	// DefaultImage is the image of submitters: the public image of the Ray release that rayorch is tested with. Nodes that run
	// Ray often have it already.
	DefaultImage = "rayproject/ray:2.60.0"
	// DefaultService is the Service of the Ray head that KubeRay creates for the default cluster of its Helm chart.
	DefaultService = "kuberay-head-svc"
	defaultPort    = 8265
	defaultTTL     = 24 * 3600
	// longestRun is Step Functions' limit on an execution, in seconds. Objects that need a deadline get it if the file has no timeout.
	longestRun = 365 * 24 * 3600
)

// clusterTarget is a target of kind kubernetes or aws, with its settings merged from options, target and defaults.
type clusterTarget struct {
	kind                pipeline.TargetKind
	mode                pipeline.SubmitMode
	namespace, context  string
	stepContext         string // context of the step, or of the part of the cleanup, that is being compiled
	eks                 Cluster
	service, rayCluster string
	port                int
	image, jobImage     string
	account, claim      string
	target              pipeline.Target
	pods                pipeline.PodsTarget
	pack                func(dir string, excludes []string) ([]byte, error)
	dirs                map[string]*workingDir             // by directory and excludes
	order               []string                           // keys of dirs, in the order of the file
	modules             map[*pipeline.RayJob][]*workingDir // packages of py_modules
	scripts             string                             // name of the ConfigMap with the submitter's script
	others              []string                           // other contexts that steps name
	cleanupOf           string                             // suffix of the states' names while another cluster's cleanup is compiled
	placing             bool                               // the run first copies working directories to the claim
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

// ttl returns how long to keep finished objects, in seconds.
func (at *clusterTarget) ttl() int64 {
	if at.pods.TTL > 0 {
		return at.pods.TTL.Seconds()
	}
	return defaultTTL
}

// ownCluster reports whether each Ray step gets its own Ray cluster.
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
	if !pipeline.IsDNSLabel(at.service) { // from an option: Decode has checked the one in the file
		report(".ray.service", "%q is not a valid Service name; "+pipeline.WantDNSLabel, at.service)
	}
	if at.mode == pipeline.SubmitProxy && at.target.Ray.Token != nil {
		report(".submit", "submission mode proxy cannot send a token; use job or rayjob")
	}
	if at.mode != pipeline.SubmitRayJob && (at.target.Ray.ClusterSpec != nil || at.target.Queue != "") {
		report("", "ray.clusterSpec and queue require submit: rayjob")
	}
	if at.kind == pipeline.TargetAWS && (at.eks.Name == "" || at.eks.Endpoint == "" || at.eks.CertificateAuthority == "") {
		report(".aws", "must have clusterName, clusterEndpoint and clusterAuthData: the name, endpoint and certificate authority of the cluster")
	}
}

// noteTarget adds notes about the target's assumptions.
func (c *compiler) noteTarget(o Options) {
	at := c.at
	if t := at.target.Ray; c.ray && !at.ownCluster() && t.Service == "" && t.Cluster == "" && o.RayService == "" {
		c.note("the target names neither ray.service nor ray.cluster: using %s", at.service)
	}
	if c.ray && at.claim == "" {
		c.note("storage.claim is not set: steps share files only if all of Ray's pods mount the same %s", c.storage)
	}
	if at.kind == pipeline.TargetAWS && (c.job || c.ray && at.mode == pipeline.SubmitJob) {
		c.note("Step Functions detects the end of a Kubernetes Job after 1 to 5 minutes; with submit: proxy or rayjob, it detects the end of a Ray step after 1 s or 1 %% of the step's time")
	}
}

// checkContext records the contexts of other clusters that steps name.
func (c *compiler) checkContext(s *pipeline.Step, path string) {
	switch {
	case s.Context == "" || s.Context == c.at.context:
		return
	case c.at.kind == pipeline.TargetAWS:
		c.problems = append(c.problems, c.p.Problem(path+".context", "is allowed only in targets of kind kubernetes; on AWS, a state machine uses one cluster"))
	case !slices.Contains(c.at.others, s.Context):
		c.at.others = append(c.at.others, s.Context)
	}
}

// checkPassed rejects secrets that would have to be part of the submission: in these modes, the definition contains the submission, but not
// the values of secrets.
func (c *compiler) checkPassed(w wanted) {
	if len(c.shownByRay(w.ray.Secrets)) > 0 {
		c.problem(w.path+".ray.secrets", "submission mode %s cannot pass the values of secrets to Ray; use submit: job, or set inRayPods: true", c.at.mode)
	}
}

// checkClusterSecrets reports secrets that no pod of this target can get.
func (c *compiler) checkClusterSecrets() {
	for _, e := range c.p.Secrets.Entries {
		if c.secrets[e.Key] && e.Value.KubernetesSecret == nil {
			c.problems = append(c.problems, c.p.Problem("secrets."+e.Key,
				"must have kubernetesSecret, because a step uses it in a target of kind "+string(c.at.kind)))
		}
	}
}

// eksArguments returns the arguments of a task in the cluster: the cluster, and the pairs in kv whose value is not nil. On AWS, the
// cluster's endpoint and certificate are long and the same in all tasks, so they are in a variable of the run.
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

// clusterVariables adds the variables that all tasks of a run share.
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

// labels returns the labels of every object of a run. The label for the execution is the hash with which the ids of its jobs start.
func (c *compiler) labels(execution string) *value.Object {
	o := value.Obj("app.kubernetes.io/managed-by", "rayorch", "rayorch.dev/pipeline", c.p.Name, "rayorch.dev/execution", execution)
	for _, e := range c.at.pods.Labels.Entries {
		o.Set(e.Key, query.Plain(e.Value))
	}
	return o
}

// executionMark returns the value of the execution label: the start of the ids of the execution's jobs.
func executionMark(execution query.Expr) query.Expr {
	return query.Call("substring", runPrefix(execution), query.Int(0), query.Int(13))
}

// hashed returns a name with a hash of the content appended.
func hashed(name string, content ...[]byte) string {
	h := sha256.New()
	for _, part := range content {
		h.Write(part)
	}
	return name + "-" + hex.EncodeToString(h.Sum(nil))[:10]
}
