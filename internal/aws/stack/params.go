package stack

import (
	"regexp"
	"strings"
	"sync"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// Params are the settings of a deployment, one field for each row of the table of parameters. A field whose name ends in
// Given is true if its parameter was set, also to the default: for these parameters, a value in the pipeline file
// otherwise takes precedence over the default.
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

// Kind is the type of a parameter's value; the zero value stands for a string. Flags and Seed-Farmer's environment
// variables hold strings as they are and all other kinds as JSON.
type Kind string

// The kinds of parameters other than strings.
const (
	Integer   Kind = "integer"
	StringMap Kind = "map of strings"
	Map       Kind = "map"
)

// Param describes one parameter. Name is its key in a parameter file; Flag and Env derive the flag and the environment
// variable from it.
type Param struct {
	Name     string
	Kind     Kind
	Required bool
	Default  string
	// Doc is a sentence that describes the parameter, with its default. Want describes valid values and completes the
	// phrase "expected ...". Neither contains backquotes, which package pflag would take for the name of a flag's value.
	Doc, Want string

	check func(string) bool   // validates a string; nil accepts all
	min   int                 // the minimum of an integer
	max   int                 // the maximum of an integer
	to    func(*Params) any   // returns a pointer to the field of the value: *string, *int or a pointer to a map
	given func(*Params) *bool // returns the field that records that the parameter was set; nil if there is none
}

// Env returns the name of the environment variable in which Seed-Farmer passes the parameter.
func (p Param) Env() string { return EnvPrefix + strings.ToUpper(p.Name) }

// EnvPrefix is the prefix of the environment variables of all parameters.
const EnvPrefix = "SEEDFARMER_PARAMETER_"

// Flag returns the name of the parameter's flag, without leading dashes.
func (p Param) Flag() string { return strings.ReplaceAll(p.Name, "_", "-") }

// All returns all parameters in the order of the documentation. The caller must not modify the slice.
func All() []Param { return table }

// matches returns a function that reports whether a string matches the pattern from start to end.
func matches(pattern string) func(string) bool {
	// Patterns are compiled on first use: compiling all of them costs every command 3 MB and 9 ms.
	compiled := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) })
	return func(s string) bool { return compiled().MatchString(s) }
}

func oneOf(words ...string) func(string) bool { return matches(strings.Join(words, "|")) }

const (
	partition    = `arn:aws(?:-[a-z]+)*`
	roleARN      = partition + `:iam::\d{12}:role/[\w+=,.@/-]{1,512}`
	wantRole     = "the ARN of an IAM role, such as arn:aws:iam::123456789012:role/eks-admin"
	bucketName   = `[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`
	wantBucket   = "the name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens"
	dnsLabel     = `[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`
	dnsSubdomain = `[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?`
	imageName    = `[A-Za-z0-9](?:[A-Za-z0-9._/:@-]{0,510}[A-Za-z0-9])?`
)

// retentions are the retention periods that CloudWatch Logs supports, in days and in ascending order.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// table lists all parameters; those of the published module come first. Doc and Want become the help of a flag, a row of
// docs/aws.md and error messages.
var table = []Param{
	{Name: "namespace", Required: true, Want: "a Kubernetes namespace, such as ray",
		Doc:   "The Kubernetes namespace in which all workloads run; it must exist.",
		check: matches(dnsLabel), to: func(p *Params) any { return &p.Namespace }},
	{Name: "eks_cluster_admin_role_arn", Required: true, Want: wantRole,
		Doc:   "The role that administers the cluster; rayorch deploy assumes it to write Kubernetes objects.",
		check: matches(roleARN), to: func(p *Params) any { return &p.AdminRoleARN }},
	{Name: "eks_handler_role_arn", Required: true, Want: wantRole,
		Doc:   "The role through which rayorch assumes the admin role if the caller cannot assume it directly; rayorch does not change this role.",
		check: matches(roleARN), to: func(p *Params) any { return &p.HandlerRoleARN }},
	{Name: "eks_cluster_name", Required: true, Want: "the name of an EKS cluster: at most 100 letters, digits, - and _",
		Doc:   "The EKS cluster on which the pipeline runs.",
		check: matches(`[0-9A-Za-z][A-Za-z0-9_-]{0,99}`), to: func(p *Params) any { return &p.ClusterName }},
	{Name: "eks_cluster_endpoint", Required: true, Want: "a URL such as https://ABC.gr7.eu-west-1.eks.amazonaws.com",
		Doc:   "The endpoint of the cluster's API server; deploy and diff read it from EKS if it is not set.",
		check: matches(`https://(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]+\])(?::\d{1,5})?/?`), to: func(p *Params) any { return &p.ClusterEndpoint }},
	{Name: "eks_oidc_arn", Required: true,
		Want:  "the ARN of an OIDC provider, such as arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC",
		Doc:   "The IAM OIDC provider of the cluster, through which pods assume their role; deploy and diff read it from EKS if it is not set.",
		check: matches(partition + `:iam::\d{12}:oidc-provider/[\w.:/-]{1,512}`), to: func(p *Params) any { return &p.OIDCARN }},
	{Name: "eks_cert_auth_data", Required: true, Want: "a certificate in PEM format, base64-encoded",
		Doc:   "The certificate authority of the API server; deploy and diff read it from EKS if it is not set.",
		check: isCertificate, to: func(p *Params) any { return &p.CertificateAuthority }},
	{Name: "step_function_timeout", Kind: Integer, Default: "360", Want: "a number of minutes from 1 to 525600",
		Doc: "The maximum duration of a run in minutes (default: the timeout in the pipeline file, or 360 if it has none).",
		min: 1, max: 525_600, to: func(p *Params) any { return &p.TimeoutMinutes }, given: func(p *Params) *bool { return &p.TimeoutGiven }},
	{Name: "data_bucket_name", Want: wantBucket,
		Doc:   "The S3 bucket that pods can read and write.",
		check: matches(bucketName), to: func(p *Params) any { return &p.DataBucket }},
	{Name: "pvc_name", Want: "the name of a PersistentVolumeClaim",
		Doc:   "The PersistentVolumeClaim to mount (default: storage.claim in the pipeline file; none for the built-in workload).",
		check: matches(dnsSubdomain), to: func(p *Params) any { return &p.Claim }},
	{Name: "dra_export_path", Default: "/ray/export/", Want: "a path that starts with / and does not contain ..",
		Doc: "The path at which to mount the claim, and, without the leading slash, the directory of the claim to mount " +
			"(default: storage.path in the pipeline file; /ray/export/ for the built-in workload).",
		check: isMountPath, to: func(p *Params) any { return &p.MountPath }, given: func(p *Params) *bool { return &p.MountGiven }},
	{Name: "permissions_boundary_name", Want: "the name of an IAM policy: at most 128 letters, digits and +=,.@_-",
		Doc:   "The policy that is the permissions boundary of every role.",
		check: matches(`[\w+=,.@-]{1,128}`), to: func(p *Params) any { return &p.PermissionsBoundary }},
	{Name: "tags", Kind: StringMap, Want: wantTags, Doc: "Tags for all resources.", to: func(p *Params) any { return &p.Tags }},
	{Name: "custom_tags", Kind: StringMap, Want: wantTags, Doc: "Additional tags for all resources; they take precedence over tags.",
		to: func(p *Params) any { return &p.CustomTags }},

	{Name: "pipeline", Want: "a pipeline file, or a directory that contains pipeline.yaml",
		Doc: "The pipeline to deploy (default: the built-in workload, which is that of the published module).",
		to:  func(p *Params) any { return &p.Pipeline }},
	{Name: "target", Want: "the name of a target of kind aws in the pipeline file",
		Doc:   "The target of the pipeline to deploy (default: its only target of kind aws).",
		check: matches(`[A-Za-z][A-Za-z0-9-]{0,39}`), to: func(p *Params) any { return &p.Target }},
	{Name: "submit", Want: "job, proxy or rayjob",
		Doc:   "The submission mode of Ray steps (default: job).",
		check: oneOf(string(pipeline.SubmitJob), string(pipeline.SubmitProxy), string(pipeline.SubmitRayJob)), to: func(p *Params) any { return &p.Submit }},
	{Name: "ray_service", Default: "kuberay-head-svc", Want: "the name of a Kubernetes Service",
		Doc:   "The Service of the Ray head in the namespace (default: kuberay-head-svc).",
		check: matches(dnsLabel), to: func(p *Params) any { return &p.RayService }, given: func(p *Params) *bool { return &p.ServiceGiven }},
	{Name: "ray_port", Kind: Integer, Default: "8265", Want: "a port from 1 to 65535",
		Doc: "The port of the Ray dashboard (default: 8265).",
		min: 1, max: 65_535, to: func(p *Params) any { return &p.RayPort }},
	{Name: "image", Want: "a container image",
		Doc:   "The image of the pods that submit Ray jobs (default: the image of the Ray release that rayorch is tested with).",
		check: matches(imageName), to: func(p *Params) any { return &p.Image }},
	{Name: "job_image", Want: "a container image",
		Doc:   "The image of plain jobs that do not specify one.",
		check: matches(imageName), to: func(p *Params) any { return &p.JobImage }},
	{Name: "state_machine_name", Want: "at most 80 letters, digits, - and _",
		Doc:   "The name of the state machine (default: TrainingOnEks- and the name of the stack).",
		check: matches(`[A-Za-z0-9_-]{1,80}`), to: func(p *Params) any { return &p.Machine }},
	{Name: "log_retention_days", Kind: Integer, Default: "90", Want: "a number of days from 1 to 3653",
		Doc: "The number of days to keep logs, rounded up to a retention period of CloudWatch Logs (default: 90).",
		min: 1, max: 3653, to: func(p *Params) any { return &p.LogRetentionDays }, given: func(p *Params) *bool { return &p.LogDaysGiven }},
	{Name: "schedule", Want: "an expression such as rate(1 day), cron(0 6 * * ? *) or at(2027-01-31T06:00:00)",
		Doc:   "The schedule on which runs start, as an expression of EventBridge Scheduler (default: no schedule).",
		check: matches(`(?:rate\([1-9]\d{0,4} (?:minute|hour|day)s?\)|cron\([^()]{11,240}\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))`),
		to:    func(p *Params) any { return &p.Schedule }},
	{Name: "schedule_timezone", Want: "a time zone such as Europe/Berlin",
		Doc:   "The time zone of the schedule (default: UTC).",
		check: matches(`[A-Za-z0-9_+/-]{1,50}`), to: func(p *Params) any { return &p.ScheduleZone }},
	{Name: "schedule_input", Kind: Map, Want: `a map of parameters, such as {"steps": 100}`,
		Doc: "The parameters of scheduled runs (default: those of the pipeline file).",
		to:  func(p *Params) any { return &p.ScheduleInput }},
	{Name: "alarm_email", Want: "an email address",
		Doc:   "The address that is notified when a run fails or times out (default: no alarm).",
		check: matches(`[^@\s]{1,64}@[^@\s]{1,255}`), to: func(p *Params) any { return &p.AlarmEmail }},
	{Name: "kms_key", Want: "the ARN of a KMS key, or create",
		Doc:   "The KMS key that encrypts the definition, executions, logs, schedule and topic; create adds a key to the stack (default: AWS owned keys).",
		check: matches(`create|` + partition + `:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,80}`), to: func(p *Params) any { return &p.KMSKey }},
	{Name: "access", Default: "auto", Want: "auto, entry or aws-auth",
		Doc: "How the state machine's role gets access to the cluster: through an access entry, through the aws-auth ConfigMap, " +
			"or through what the authentication mode of the cluster supports (default: auto).",
		check: oneOf("auto", "entry", "aws-auth"), to: func(p *Params) any { return &p.Access }},
	{Name: "template_bucket", Want: wantBucket,
		Doc:   "The S3 bucket to which deploy uploads a template of more than 51,200 bytes.",
		check: matches(bucketName), to: func(p *Params) any { return &p.TemplateBucket }},
}

const wantTags = `a map of strings, such as {"team": "research"}: keys have 1 to 128 and values at most 256 letters, digits, ` +
	`spaces and _.:/=+-@; a key must not start with aws:`

// lookup finds a parameter by its name in the table.
func lookup(name string) (Param, bool) {
	for _, p := range table {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

// Retention returns the shortest retention period of CloudWatch Logs that is at least the given number of days, or the
// longest period if there is none.
func Retention(days int) int {
	for _, r := range retentions {
		if r >= days {
			return r
		}
	}
	return retentions[len(retentions)-1]
}

// Values returns the parameters that are set, by their names in a parameter file, so that a deployment can be saved as a
// file and deployed again.
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
