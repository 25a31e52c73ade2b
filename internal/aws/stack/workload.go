package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// The files of the built-in workload, which is that of the published module, and the default image of its inference step,
// which is also that of the published module.
const (
	PublishedWithClaim = "published.yaml"
	PublishedWithout   = "published-ray.yaml"
	PublishedJobImage  = "rayproject/ray-ml:2.30.0"
)

// Published returns the file of the built-in workload. Its inference step is a pod that mounts the claim, or a Ray job if
// there is no claim.
func (p Params) Published() string {
	if p.Claim == "" {
		return PublishedWithout
	}
	return PublishedWithClaim
}

// TargetName returns the name of the pipeline's target to deploy: the named one, or else its only target of kind aws. If it
// has none, the name is aws, and Prepare adds that target.
func TargetName(p *pipeline.Pipeline, named string) (string, error) {
	var found []string
	for _, e := range p.Targets.Entries {
		if e.Value.Kind == pipeline.TargetAWS {
			found = append(found, e.Key)
		}
	}
	switch {
	case named != "":
		if t, ok := p.Targets.Get(named); ok && t.Kind != pipeline.TargetAWS {
			return "", fmt.Errorf("target %s: the kind must be aws, got %s", named, t.Kind)
		}
		return named, nil
	case len(found) > 1:
		return "", fmt.Errorf("the pipeline has %d targets of kind aws: choose one with --target: %s", len(found), strings.Join(found, ", "))
	case len(found) == 1:
		return found[0], nil
	}
	return "aws", nil
}

// TargetSource returns the parameters that a target in the pipeline file sets. All other sources take precedence, because the
// user who deploys a pipeline may not be its author.
func TargetSource(p *pipeline.Pipeline, name string) Source {
	values := map[string]any{}
	s := Source{Values: values, Name: func(t Param) string { return "the value in the pipeline's target " + name }}
	t, ok := p.Targets.Get(name)
	if !ok {
		return s
	}
	put := func(key string, v any, set bool) {
		if set {
			values[key] = v
		}
	}
	text := func(key, v string) { put(key, v, v != "") }
	text("namespace", t.Namespace)
	text("submit", string(t.Submit))
	text("ray_service", t.Ray.Service)
	put("ray_port", t.Ray.Port, t.Ray.Port != 0)
	text("image", t.Image)
	text("job_image", t.JobImage)
	if a := t.AWS; a != nil {
		awsValues(a, text, put)
	}
	return s
}

func awsValues(a *pipeline.AWSTarget, text func(key, v string), put func(key string, v any, set bool)) {
	for key, v := range map[string]string{
		"eks_cluster_name": a.ClusterName, "eks_cluster_endpoint": a.ClusterEndpoint, "eks_cert_auth_data": a.ClusterAuthData,
		"eks_oidc_arn": a.OIDCArn, "eks_cluster_admin_role_arn": a.AdminRoleArn, "eks_handler_role_arn": a.HandlerRoleArn,
		"state_machine_name": a.StateMachineName, "data_bucket_name": a.DataBucket, "permissions_boundary_name": a.PermissionsBoundary,
		"schedule": a.Schedule, "alarm_email": a.AlarmEmail, "kms_key": a.KMSKey,
	} {
		text(key, v)
	}
	put("log_retention_days", a.LogRetentionDays, a.LogRetentionDays != 0)
	if a.ScheduleInput != nil {
		put("schedule_input", valueText(a.ScheduleInput.Value), true)
	}
	tags := map[string]any{}
	for _, e := range a.Tags.Entries {
		tags[e.Key] = e.Value
	}
	put("tags", tags, len(tags) > 0)
}

// Prepare applies the parameters to a pipeline before it is compiled. It returns a copy of the pipeline with the parameters
// that concern the whole pipeline or its target, and the compiler options with the others.
func Prepare(p *pipeline.Pipeline, target string, params Params, names Names) (*pipeline.Pipeline, compile.Options) {
	made := *p
	builtIn := params.Pipeline == ""
	if params.TimeoutGiven || made.Timeout == 0 || builtIn {
		made.Timeout = pipeline.Duration(params.TimeoutMinutes) * 60
	}
	if builtIn || params.MountGiven {
		made.Storage.Path = strings.TrimSuffix(params.MountPath, "/")
	}
	if builtIn || params.Claim != "" {
		made.Storage.Claim = params.Claim
	}
	made.Targets = withTarget(p.Targets, target, params, names)
	o := compile.Options{
		Target: target, Submit: params.Submit, Namespace: params.Namespace, RayService: params.RayService,
		Image: params.Image, JobImage: params.JobImage, Claim: params.Claim,
		Cluster: compile.Cluster{Name: params.ClusterName, Endpoint: strings.TrimSuffix(params.ClusterEndpoint, "/"),
			CertificateAuthority: params.CertificateAuthority},
	}
	if builtIn && o.JobImage == "" {
		o.JobImage = PublishedJobImage
	}
	return &made, o
}

// withTarget returns a copy of the targets in which the target to deploy has the values of the parameters. It adds the target
// if it does not exist.
func withTarget(all pipeline.Map[pipeline.Target], name string, params Params, names Names) pipeline.Map[pipeline.Target] {
	t, ok := all.Get(name)
	if !ok {
		t = pipeline.Target{Kind: pipeline.TargetAWS}
	}
	t.Namespace, t.Ray.Port = params.Namespace, params.RayPort
	if t.Ray.Service == "" || params.ServiceGiven {
		t.Ray.Service = params.RayService
	}
	pods := pipeline.PodsTarget{TTL: 24 * 3600}
	if t.Pods != nil {
		pods = *t.Pods
	}
	if pods.ServiceAccount == "" {
		pods.ServiceAccount = names.User
	}
	if params.Pipeline == "" || params.MountGiven {
		// As in the published module: the mounted directory of the claim has the same path as the mount.
		pods.SubPath = strings.TrimSuffix(strings.TrimPrefix(params.MountPath, "/"), "/")
	}
	// Jobs and pods have the same label and tags as all objects of the deployment: destroy finds them by the label.
	pods.Labels.Entries = append(slices.Clone(pods.Labels.Entries), pipeline.Entry[string]{Key: LabelStack, Value: kubeName(names.Stack)})
	pods.Annotations.Entries = append(slices.Clone(pods.Annotations.Entries), annotationEntries(params, names)...)
	t.Pods = &pods
	out := pipeline.Map[pipeline.Target]{}
	for _, e := range all.Entries {
		if e.Key != name {
			out.Entries = append(out.Entries, e)
		}
	}
	out.Entries = append(out.Entries, pipeline.Entry[pipeline.Target]{Key: name, Value: t})
	return out
}

func annotationEntries(params Params, names Names) []pipeline.Entry[string] {
	tags := annotations(tagMap(params, names))
	out := make([]pipeline.Entry[string], tags.Len())
	for i := range tags.Len() {
		k, v := tags.At(i)
		out[i] = pipeline.Entry[string]{Key: k, Value: fmt.Sprint(v)}
	}
	return out
}
