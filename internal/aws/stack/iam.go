package stack

import (
	"maps"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// role adds a role with its trust policy and, if there are any statements, an inline policy.
func (b *builder) role(id, name, what string, trust *value.Object, statements []any) {
	p := value.Obj("RoleName", sub(name), "Description", clip(what, 1000), "AssumeRolePolicyDocument", trust)
	if len(statements) > 0 {
		p.Set("Policies", list(value.Obj("PolicyName", "rayorch", "PolicyDocument", policy(statements))))
	}
	if name := b.p.PermissionsBoundary; name != "" {
		p.Set("PermissionsBoundary", sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/"+name))
	}
	p.Set("Tags", b.tags())
	b.resource(id, "AWS::IAM::Role", p)
}

func policy(statements []any) *value.Object {
	return value.Obj("Version", "2012-10-17", "Statement", statements)
}

// trust returns a trust policy: which principal can assume a role, and under which condition.
func trust(principal *value.Object, action string, condition *value.Object) *value.Object {
	return policy(list[any](value.Obj("Effect", "Allow", "Principal", principal, "Action", action, "Condition", condition)))
}

// allow returns one statement that allows the actions on the resources.
func allow(id string, resources []any, actions ...string) *value.Object {
	return value.Obj("Sid", id, "Effect", "Allow", "Action", anys(actions), "Resource", resources)
}

// ownAccount returns the condition that prevents a service from using the role or key on behalf of another account (the
// confused deputy problem).
func ownAccount() *value.Object {
	return value.Obj("StringEquals", value.Obj("aws:SourceAccount", ref("AWS::AccountId")))
}

// pods adds the IAM role of the pods' service account, which pods assume through the cluster's OIDC provider. The issuer,
// the part of the provider's ARN after oidc-provider/, is part of the condition keys. CloudFormation has no functions in
// keys, so the ARN must be known before the stack is created.
func (b *builder) pods() {
	_, issuer, _ := strings.Cut(b.p.OIDCARN, "oidc-provider/")
	who := trust(value.Obj("Federated", b.p.OIDCARN), "sts:AssumeRoleWithWebIdentity", value.Obj("StringEquals", value.Obj(
		issuer+":aud", "sts.amazonaws.com",
		issuer+":sub", "system:serviceaccount:"+b.p.Namespace+":"+b.n.User)))
	b.role(idPodRole, b.n.PodRole, "Permissions of pods with the service account "+b.p.Namespace+"/"+b.n.User, who, b.bucketPolicy())
	b.output("EksServiceAccountName", b.n.User)
	b.output("EksServiceAccountRoleArn", arnOf(idPodRole))
}

// bucketPolicy returns what pods are allowed to do with the data bucket: the actions that the published module grants, but
// each only on the type of resource that it applies to.
func (b *builder) bucketPolicy() []any {
	if b.p.DataBucket == "" {
		return nil
	}
	bucket := "arn:${AWS::Partition}:s3:::" + b.p.DataBucket
	return list[any](
		allow("ListBucket", list[any](sub(bucket)), "s3:ListBucket"),
		allow("UseObjects", list[any](sub(bucket+"/*")), "s3:AbortMultipartUpload", "s3:GetObject", "s3:GetObjectVersion",
			"s3:ListMultipartUploadParts", "s3:PutObject"),
	)
}

// access adds the access entry that maps the state machine's role to a Kubernetes user and a group, both with the name of
// the service account. For a cluster that only supports the aws-auth ConfigMap, package deploy edits that instead.
func (b *builder) access() {
	if b.p.Access == "aws-auth" {
		return
	}
	b.resource(idAccess, "AWS::EKS::AccessEntry", value.Obj(
		"ClusterName", b.p.ClusterName,
		"PrincipalArn", arnOf(idMachineRole),
		"Type", "STANDARD",
		"Username", b.n.User,
		"KubernetesGroups", list[any](b.n.User),
		"Tags", b.tags(),
	))
}

// tagMap returns the tags of the deployment, with the name of the pipeline.
func (b *builder) tagMap() map[string]string {
	out := tagMap(b.p, b.n)
	out["rayorch:pipeline"] = b.in.Pipeline
	return out
}

// tagMap returns the tags of all resources: tags, overridden by custom_tags, overridden by those that Seed-Farmer itself
// sets, because its users search by them.
func tagMap(p Params, n Names) map[string]string {
	out := map[string]string{}
	maps.Copy(out, p.Tags)
	maps.Copy(out, p.CustomTags)
	id := n.Identity
	for key, v := range map[string]string{"SeedFarmerProjectName": id.Project, "SeedFarmerDeploymentName": id.Deployment,
		"SeedFarmerModuleName": id.Module} {
		if v != "" {
			out[key] = clip(v, maxTagValue)
		}
	}
	if id.Project != "" || id.Deployment != "" || id.Module != "" {
		out["Deployment"] = clip(strings.Join([]string{id.Project, id.Deployment, id.Module}, "-"), maxTagValue)
	}
	return out
}

// tags returns the tags in the form that most resource types take. They are sorted, so that the same tags give the same
// template and deploy finds no change.
func (b *builder) tags() []any {
	var out []any
	m := b.tagMap()
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, value.Obj("Key", k, "Value", m[k]))
	}
	return out
}

// skipped returns the metadata of a resource that suppresses a finding of the linter checkov, with the reason.
func skipped(id, why string) []any {
	return []any{"Metadata", value.Obj("checkov", value.Obj("skip", list[any](value.Obj("id", id, "comment", why))))}
}
