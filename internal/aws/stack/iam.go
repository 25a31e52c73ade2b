package stack

import (
	"maps"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// role adds a role with its trust and, where there are any, its statements.
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

// trust is who may assume a role, and under which conditions.
func trust(principal *value.Object, action string, condition *value.Object) *value.Object {
	return policy(list[any](value.Obj("Effect", "Allow", "Principal", principal, "Action", action, "Condition", condition)))
}

// allow is one statement.
func allow(id string, resources []any, actions ...string) *value.Object {
	return value.Obj("Sid", id, "Effect", "Allow", "Action", anys(actions), "Resource", resources)
}

// ownAccount is the condition that keeps a service from acting for somebody else's account.
func ownAccount() *value.Object {
	return value.Obj("StringEquals", value.Obj("aws:SourceAccount", ref("AWS::AccountId")))
}

// pods adds the role of the pods' service account, by the cluster's OIDC provider: its issuer is the ARN's part after
// oidc-provider/, and is a key of the conditions, which is why it must be known before the stack is made.
func (b *builder) pods() {
	_, issuer, _ := strings.Cut(b.p.OIDCARN, "oidc-provider/")
	who := trust(value.Obj("Federated", b.p.OIDCARN), "sts:AssumeRoleWithWebIdentity", value.Obj("StringEquals", value.Obj(
		issuer+":aud", "sts.amazonaws.com",
		issuer+":sub", "system:serviceaccount:"+b.p.Namespace+":"+b.n.User)))
	b.role(idPodRole, b.n.PodRole, "What pods of the service account "+b.p.Namespace+"/"+b.n.User+" may do", who, b.bucketPolicy())
	b.output("EksServiceAccountName", b.n.User)
	b.output("EksServiceAccountRoleArn", arnOf(idPodRole))
}

// bucketPolicy is what pods may do with the data bucket. What the published module granted, each action on what it is of.
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

// access lets the state machine's role into the cluster as a user of our name, in a group of the same name. Where the
// cluster knows the aws-auth ConfigMap only, deploy writes it there instead.
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

// tagMap is tagMap with the pipeline's name.
func (b *builder) tagMap() map[string]string {
	out := tagMap(b.p, b.n)
	out["rayorch:pipeline"] = b.in.Pipeline
	return out
}

// tagMap are the tags of all resources: what the user gave, then what the deployment is called. Seed-Farmer's own names
// win, for its users search by them.
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

// tags is tagMap as most resources want it, in order: a template that changed by nothing else would be deployed again.
func (b *builder) tags() []any {
	var out []any
	m := b.tagMap()
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, value.Obj("Key", k, "Value", m[k]))
	}
	return out
}

// skipped tells checkov why a finding of it stands.
func skipped(id, why string) []any {
	return []any{"Metadata", value.Obj("checkov", value.Obj("skip", list[any](value.Obj("id", id, "comment", why))))}
}
