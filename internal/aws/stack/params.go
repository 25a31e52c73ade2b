package stack

import (
	"regexp"
	"strings"
	"sync"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// Params are a deployment's settings. The first fourteen are the published Seed-Farmer module's, with its names, defaults
// and meanings; the others are ours.
type Params struct {
	Namespace                  string
	AdminRoleARN               string
	HandlerRoleARN             string
	ClusterName                string
	ClusterEndpoint            string
	OIDCARN                    string
	CertificateAuthority       string
	TimeoutMinutes             int
	DataBucket                 string
	Claim                      string
	MountPath                  string
	PermissionsBoundary        string
	Tags, CustomTags           map[string]string
	Pipeline, Target           string
	Submit                     string
	RayService                 string
	RayPort                    int
	Image, JobImage            string
	Machine                    string
	LogRetentionDays           int
	Schedule, ScheduleZone     string
	ScheduleInput              map[string]any
	AlarmEmail                 string
	KMSKey                     string
	Access                     string
	TemplateBucket             string
	TimeoutGiven, MountGiven   bool
	ServiceGiven, LogDaysGiven bool
}

// Kind is what a parameter's value is.
type Kind string

// The kinds. Seed-Farmer passes text as it is and everything else as JSON; so do flags.
const (
	Text    Kind = "text"
	Integer Kind = "integer"
	Texts   Kind = "texts"  // a mapping of names to texts
	Object  Kind = "object" // any mapping
)

// Param describes one parameter. Its Name is the key in a file; the flag and the variable are made from it.
type Param struct {
	Name     string
	Kind     Kind
	Required bool
	Default  string
	// Want says what the value should look like, Doc what it means.
	Want, Doc string

	check func(string) bool // of a text
	least int               // of an integer
	most  int
	to    func(*Params) any   // where the value goes: *string, *int, *map
	given func(*Params) *bool // told when the value was not the default
}

// Env is the parameter's environment variable, as Seed-Farmer names it.
func (p Param) Env() string { return EnvPrefix + strings.ToUpper(p.Name) }

// EnvPrefix starts the variables of all parameters.
const EnvPrefix = "SEEDFARMER_PARAMETER_"

// Flag is the parameter's flag without its dashes.
func (p Param) Flag() string { return strings.ReplaceAll(p.Name, "_", "-") }

// All is the table of parameters, in the order of the documentation.
func All() []Param { return table }

func matches(pattern string) func(string) bool {
	// Only when it is first asked: all of them take 3 MB and 9 ms, of every command.
	compiled := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) })
	return func(s string) bool { return compiled().MatchString(s) }
}

func oneOf(words ...string) func(string) bool { return matches(strings.Join(words, "|")) }

const (
	partition    = `arn:aws(?:-[a-z]+)*`
	roleARN      = partition + `:iam::\d{12}:role/[\w+=,.@/-]{1,512}`
	wantRole     = "an IAM role's ARN, such as arn:aws:iam::123456789012:role/eks-admin"
	dnsLabel     = `[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`
	dnsSubdomain = `[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?`
	imageName    = `[A-Za-z0-9](?:[A-Za-z0-9._/:@-]{0,510}[A-Za-z0-9])?`
)

// retentions are the days that CloudWatch Logs knows.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// The first of these are the published module's.
var table = []Param{
	{Name: "namespace", Required: true, Want: "a Kubernetes namespace, such as ray", Doc: "The namespace that everything runs in; it must exist.",
		check: matches(dnsLabel), to: func(p *Params) any { return &p.Namespace }},
	{Name: "eks_cluster_admin_role_arn", Required: true, Want: wantRole, Doc: "The role that administers the cluster; deploy assumes it to write Kubernetes objects.",
		check: matches(roleARN), to: func(p *Params) any { return &p.AdminRoleARN }},
	{Name: "eks_handler_role_arn", Required: true, Want: wantRole, Doc: "The role by which the admin role is assumed where the deploying role may not itself. Nothing is attached to it.",
		check: matches(roleARN), to: func(p *Params) any { return &p.HandlerRoleARN }},
	{Name: "eks_cluster_name", Required: true, Want: "an EKS cluster's name, at most 100 letters, digits, - and _", Doc: "The cluster.",
		check: matches(`[0-9A-Za-z][A-Za-z0-9_-]{0,99}`), to: func(p *Params) any { return &p.ClusterName }},
	{Name: "eks_cluster_endpoint", Required: true, Want: "an address such as https://ABC.gr7.eu-west-1.eks.amazonaws.com", Doc: "The cluster's API server. `deploy` and `diff` look it up where it is left out.",
		check: matches(`https://(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]+\])(?::\d{1,5})?/?`), to: func(p *Params) any { return &p.ClusterEndpoint }},
	{Name: "eks_oidc_arn", Required: true, Want: "an OIDC provider's ARN, such as arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC", Doc: "The cluster's OIDC provider, by which pods get roles. Looked up likewise.",
		check: matches(partition + `:iam::\d{12}:oidc-provider/[\w.:/-]{1,512}`), to: func(p *Params) any { return &p.OIDCARN }},
	{Name: "eks_cert_auth_data", Required: true, Want: "the cluster's certificate in PEM, in base64", Doc: "The API server's certificate authority. Looked up likewise.",
		check: isCertificate, to: func(p *Params) any { return &p.CertificateAuthority }},
	{Name: "step_function_timeout", Kind: Integer, Default: "360", Want: "minutes, 1 to 525600", Doc: "How long one run may take in all. A pipeline of your own keeps its timeout unless this is given.",
		least: 1, most: 525_600, to: func(p *Params) any { return &p.TimeoutMinutes }, given: func(p *Params) *bool { return &p.TimeoutGiven }},
	{Name: "data_bucket_name", Want: "a bucket's name: 3 to 63 lower-case letters, digits, dots and dashes", Doc: "The bucket that the pods' role may read and write.",
		check: matches(`[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`), to: func(p *Params) any { return &p.DataBucket }},
	{Name: "pvc_name", Want: "a PersistentVolumeClaim's name", Doc: "The claim that is mounted; without it nothing is.",
		check: matches(dnsSubdomain), to: func(p *Params) any { return &p.Claim }},
	{Name: "dra_export_path", Default: "/ray/export/", Want: "a path that starts with / and has no ..", Doc: "Where the claim is mounted; the path without its first slash is the directory of the claim.",
		check: isMountPath, to: func(p *Params) any { return &p.MountPath }, given: func(p *Params) *bool { return &p.MountGiven }},
	{Name: "permissions_boundary_name", Want: "a policy's name, at most 128 letters, digits and +=,.@_-", Doc: "The permissions boundary of every role.",
		check: matches(`[\w+=,.@-]{1,128}`), to: func(p *Params) any { return &p.PermissionsBoundary }},
	{Name: "tags", Kind: Texts, Want: wantTags, Doc: "Tags of all resources.", to: func(p *Params) any { return &p.Tags }},
	{Name: "custom_tags", Kind: Texts, Want: wantTags, Doc: "More tags of all resources; they go before `tags`.", to: func(p *Params) any { return &p.CustomTags }},

	{Name: "pipeline", Want: "a pipeline file, or a directory with a pipeline.yaml", Doc: "The pipeline; without it the published module's workload, `examples/gptj/published.yaml`.",
		to: func(p *Params) any { return &p.Pipeline }},
	{Name: "target", Want: "the name of one of the pipeline's targets of kind aws", Doc: "Which of the pipeline's targets; by default its only one of kind aws.",
		check: matches(`[A-Za-z][A-Za-z0-9-]{0,39}`), to: func(p *Params) any { return &p.Target }},
	{Name: "submit", Want: "job, proxy or rayjob", Doc: "The submission mode of Ray steps.",
		check: oneOf(string(pipeline.SubmitJob), string(pipeline.SubmitProxy), string(pipeline.SubmitRayJob)), to: func(p *Params) any { return &p.Submit }},
	{Name: "ray_service", Default: "kuberay-head-svc", Want: "a Kubernetes service's name", Doc: "The service of Ray's head in the namespace.",
		check: matches(dnsLabel), to: func(p *Params) any { return &p.RayService }, given: func(p *Params) *bool { return &p.ServiceGiven }},
	{Name: "ray_port", Kind: Integer, Default: "8265", Want: "a port, 1 to 65535", Doc: "The port of its dashboard.",
		least: 1, most: 65_535, to: func(p *Params) any { return &p.RayPort }},
	{Name: "image", Want: "a container image", Doc: "The image of pods that submit.",
		check: matches(imageName), to: func(p *Params) any { return &p.Image }},
	{Name: "job_image", Want: "a container image", Doc: "The image of plain jobs that name none.",
		check: matches(imageName), to: func(p *Params) any { return &p.JobImage }},
	{Name: "state_machine_name", Want: "at most 80 letters, digits, - and _", Doc: "The state machine's name; by default TrainingOnEks- and the stack's.",
		check: matches(`[A-Za-z0-9_-]{1,80}`), to: func(p *Params) any { return &p.Machine }},
	{Name: "log_retention_days", Kind: Integer, Default: "90", Want: "days, 1 to 3653", Doc: "How long logs stay; rounded up to what CloudWatch Logs knows.",
		least: 1, most: 3653, to: func(p *Params) any { return &p.LogRetentionDays }, given: func(p *Params) *bool { return &p.LogDaysGiven }},
	{Name: "schedule", Want: "rate(1 day), cron(0 6 * * ? *) or at(2027-01-31T06:00:00)", Doc: "When to start by itself, as EventBridge Scheduler writes it.",
		check: matches(`(?:rate\([1-9]\d{0,4} (?:minute|hour|day)s?\)|cron\([^()]{11,240}\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))`), to: func(p *Params) any { return &p.Schedule }},
	{Name: "schedule_timezone", Want: "a time zone such as Europe/Berlin", Doc: "The schedule's time zone; UTC by default.",
		check: matches(`[A-Za-z0-9_+/-]{1,50}`), to: func(p *Params) any { return &p.ScheduleZone }},
	{Name: "schedule_input", Kind: Object, Want: `an object of parameters, such as {"steps": 100}`, Doc: "The parameters of scheduled runs.",
		to: func(p *Params) any { return &p.ScheduleInput }},
	{Name: "alarm_email", Want: "an e-mail address", Doc: "Who is told when a run fails or times out.",
		check: matches(`[^@\s]{1,64}@[^@\s]{1,255}`), to: func(p *Params) any { return &p.AlarmEmail }},
	{Name: "kms_key", Want: "a key's ARN, or create", Doc: "The key that encrypts definition, executions, logs and topic; create makes one in the stack.",
		check: matches(`create|` + partition + `:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,80}`), to: func(p *Params) any { return &p.KMSKey }},
	{Name: "access", Default: "auto", Want: "auto, entry or aws-auth", Doc: "How the cluster gets to know the state machine's role: by an access entry, by the aws-auth ConfigMap, or as the cluster's authentication mode needs it.",
		check: oneOf("auto", "entry", "aws-auth"), to: func(p *Params) any { return &p.Access }},
	{Name: "template_bucket", Want: "a bucket's name", Doc: "Where a template of more than 51,200 bytes is uploaded.",
		check: matches(`[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`), to: func(p *Params) any { return &p.TemplateBucket }},
}

const wantTags = `an object of texts, such as {"team": "research"}: keys of 1 to 128, values of at most 256 letters, digits, blanks and _.:/=+-@; not aws:`

// lookup finds a parameter by its name.
func lookup(name string) (Param, bool) {
	for _, p := range table {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

// Retention is the shortest retention that CloudWatch Logs knows and that is no shorter than asked for.
func Retention(days int) int {
	for _, r := range retentions {
		if r >= days {
			return r
		}
	}
	return retentions[len(retentions)-1]
}

// Values are the parameters as a file would hold them, without those that are not set: what was deployed can be written
// down and deployed again.
func (p Params) Values() map[string]any {
	out := map[string]any{}
	for _, t := range table {
		switch v := t.to(&p).(type) {
		case *string:
			if *v != "" {
				out[t.Name] = *v
			}
		case *int:
			out[t.Name] = *v
		case *map[string]string:
			if len(*v) > 0 {
				out[t.Name] = *v
			}
		case *map[string]any:
			if len(*v) > 0 {
				out[t.Name] = *v
			}
		}
	}
	return out
}
