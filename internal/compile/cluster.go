package compile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// The ways of submitting a Ray step in a cluster.
const (
	wayJob    = pipeline.SubmitJob
	wayProxy  = pipeline.SubmitProxy
	wayRayJob = pipeline.SubmitRayJob
)

// Defaults of targets in a cluster.
const (
	// DefaultImage is the submitter's: a public image of the release that rayorch is tested with. Nodes that run Ray
	// often have it already.
	DefaultImage = "rayproject/ray:2.60.0"
	// DefaultService is the head's service as KubeRay's chart names it for a cluster "kuberay".
	DefaultService = "kuberay-head-svc"
	defaultPort    = 8265
	defaultTTL     = 24 * 3600
	// longestRun is Step Functions' own limit, for what must have a deadline where the file gives none.
	longestRun = 365 * 24 * 3600
)

// place is a target in a cluster, with all that options, target and defaults say of it.
type place struct {
	kind                pipeline.TargetKind
	way                 pipeline.SubmitMode
	namespace, context  string
	stepContext         string // of the step, or the part of the clean-up, that is being compiled
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
	cleanupOf           string                             // what states' names end with while another cluster's clean-up is compiled
	placing             bool                               // working directories are put on the claim first
}

// newPlace settles what options and target say.
func newPlace(p *pipeline.Pipeline, t pipeline.Target, o Options) *place {
	at := &place{kind: t.Kind, target: t, eks: o.Cluster, pack: o.Pack, dirs: map[string]*workingDir{}, modules: map[*pipeline.RayJob][]*workingDir{},
		way:        cmp.Or(pipeline.SubmitMode(o.Submit), t.Submit, wayJob),
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

// ttl is how long finished objects stay, in seconds.
func (at *place) ttl() int64 {
	if at.pods.TTL > 0 {
		return at.pods.TTL.Seconds()
	}
	return defaultTTL
}

// ownCluster tells whether each Ray step has a Ray cluster of its own.
func (at *place) ownCluster() bool { return at.way == wayRayJob && at.target.Ray.ClusterSpec != nil }

// checkPlace reports what the way, the kind and the file rule out together.
func (c *compiler) checkPlace(name string) {
	at, path := c.at, "targets."+name
	report := func(field, format string, args ...any) {
		c.problems = append(c.problems, c.p.Problem(path+field, fmt.Sprintf(format, args...)))
	}
	if at.way != wayJob && at.way != wayProxy && at.way != wayRayJob {
		report(".submit", "unknown way of submitting %q; expected one of job, proxy, rayjob", at.way)
	}
	if !pipeline.IsDNSLabel(at.namespace) {
		report(".namespace", "%q is no name of a namespace", at.namespace)
	}
	if !pipeline.IsDNSLabel(at.service) { // an option's, since the file's was checked
		report(".ray.service", "%q is not the name of a Service; "+pipeline.WantDNSLabel, at.service)
	}
	if at.way == wayProxy && at.target.Ray.Token != nil {
		report(".submit", "proxy cannot send a token; use job or rayjob")
	}
	if at.way != wayRayJob && (at.target.Ray.ClusterSpec != nil || at.target.Queue != "") {
		report("", "clusterSpec and queue need submit: rayjob")
	}
	if at.kind == pipeline.TargetAWS && (at.eks.Name == "" || at.eks.Endpoint == "" || at.eks.CertificateAuthority == "") {
		report(".aws", "the cluster's name, endpoint and certificate authority must be known: clusterName, clusterEndpoint, clusterAuthData")
	}
}

// notePlace tells what the target takes for granted.
func (c *compiler) notePlace(o Options) {
	at := c.at
	if t := at.target.Ray; c.ray && !at.ownCluster() && t.Service == "" && t.Cluster == "" && o.RayService == "" {
		c.note("the target names no ray.service or ray.cluster: %s is taken", at.service)
	}
	if c.ray && at.claim == "" {
		c.note("there is no storage.claim: steps share files only if Ray's pods see the same %s", c.storage)
	}
	if at.kind == pipeline.TargetAWS && (c.job || c.ray && at.way == wayJob) {
		c.note("Step Functions sees the end of a Kubernetes Job after one to five minutes; Ray steps by submit: proxy or rayjob go on after 1 s or 1 %% of their time")
	}
}

// checkSteps reports what the way of submitting cannot do for a step, at any depth.
func (c *compiler) checkSteps(steps []pipeline.Step, path string) {
	for i := range steps {
		s, at := &steps[i], fmt.Sprintf("%s[%d]", path, i)
		c.checkBody(body{s.Ray, s.Job}, at)
		c.checkContext(s, at)
		if s.OnFailure != nil {
			c.checkBody(body{s.OnFailure.Ray, s.OnFailure.Job}, at+".onFailure")
		}
		c.checkSteps(s.Children(), at+"."+s.Kind()+".steps")
	}
}

// checkContext notes the other clusters that steps name.
func (c *compiler) checkContext(s *pipeline.Step, path string) {
	switch {
	case s.Context == "" || s.Context == c.at.context:
		return
	case c.at.kind == pipeline.TargetAWS:
		c.problems = append(c.problems, c.p.Problem(path+".context", "is for targets of kind kubernetes; a state machine on AWS knows one cluster here"))
	case !slices.Contains(c.at.others, s.Context):
		c.at.others = append(c.at.others, s.Context)
	}
}

func (c *compiler) checkBody(b body, path string) {
	report := func(field, message string) { c.problems = append(c.problems, c.p.Problem(path+field, message)) }
	switch {
	case b.job != nil && len(b.job.Image.Parts) == 0 && c.at.jobImage == "":
		report(".job", "needs image here, or the target jobImage")
	case b.ray == nil || c.at.way == wayJob:
	case len(c.shownByRay(b.ray)) > 0:
		report(".ray.secrets", "need submit: job, whose pod reads them, or inRayPods: true; "+string(c.at.way)+" would show them")
	case b.ray.Memory != nil && c.at.way == wayRayJob:
		report(".ray.memory", "cannot be asked for by submit: rayjob; use job or proxy")
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

// eksArguments are the arguments of a task on the cluster. What EKS needs to be found is the same in all tasks, and long:
// it is a variable of the run.
func (c *compiler) eksArguments(kv ...any) *value.Object {
	o := &value.Object{}
	switch {
	case c.at.kind == pipeline.TargetAWS:
		for _, name := range []string{"ClusterName", "CertificateAuthority", "Endpoint"} {
			o.Set(name, wrap("$eks."+name))
		}
	case cmp.Or(c.at.stepContext, c.at.context) != "":
		o.Set("ClusterName", plain(cmp.Or(c.at.stepContext, c.at.context)))
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
	assign.Set("labels", c.labels(wrap("$substring("+prefix("$states.context.Execution.Id")+", 0, 13)")))
	annotations := value.Obj("rayorch.dev/execution", "{% $states.context.Execution.Id %}")
	for _, e := range c.at.pods.Annotations.Entries {
		annotations.Set(e.Key, plain(e.Value))
	}
	assign.Set("annotations", annotations)
	if c.submits() {
		assign.Set("submitter", c.submitter())
	}
	if c.reachesRay() {
		assign.Set("killer", plain(killer))
	}
	if dirs := c.inlineDirs(); dirs.Len() > 0 {
		assign.Set("dirs", dirs)
	}
	if c.ray && c.at.way == wayJob {
		codes := &value.Object{}
		for i, name := range submitterErrors {
			codes.Set(fmt.Sprint(firstCode+i), name)
		}
		assign.Set("codes", codes)
	}
}

// submits tells whether pods with the submitter's script are made.
func (c *compiler) submits() bool { return c.ray && (c.at.way == wayJob || c.at.placing) }

// labels are on every object of a run; the execution's is the hash that the ids of its jobs start with.
func (c *compiler) labels(execution string) *value.Object {
	o := value.Obj("app.kubernetes.io/managed-by", "rayorch", "rayorch.dev/pipeline", c.p.Name, "rayorch.dev/execution", execution)
	for _, e := range c.at.pods.Labels.Entries {
		o.Set(e.Key, plain(e.Value))
	}
	return o
}

// inline makes of a field's value, with expressions in it, one expression.
func inline(v any) string {
	switch v := v.(type) {
	case string:
		if expr, ok := strings.CutPrefix(v, "{% "); ok {
			return strings.TrimSuffix(expr, " %}")
		}
		return str(v)
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = inline(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *value.Object:
		pairs := make([]string, v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			pairs[i] = str(k) + ": " + inline(item)
		}
		return "{" + strings.Join(pairs, ", ") + "}"
	}
	return value.Text(v)
}

// hashed is a name with a hash of the content that it stands for.
func hashed(name string, content ...[]byte) string {
	h := sha256.New()
	for _, part := range content {
		h.Write(part)
	}
	return name + "-" + hex.EncodeToString(h.Sum(nil))[:10]
}
