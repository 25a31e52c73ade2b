package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rayorch/rayorch/internal/aws/ekstoken"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Cluster has the properties of an EKS cluster that a deployment depends on.
type Cluster struct {
	Name, Endpoint, CertificateAuthority string
	// OIDCARN is the ARN of the IAM OIDC provider for the cluster in the caller's account. EKS does not report whether that
	// provider exists.
	OIDCARN string
	// Entries reports whether the authentication mode supports access entries, ConfigMap whether it supports aws-auth.
	Entries, ConfigMap bool
	// Private reports whether the API server has no public endpoint.
	Private bool
}

// Describe describes an EKS cluster.
func (d *Deployer) Describe(ctx context.Context, name string, who Caller) (Cluster, error) {
	got, err := d.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
	if err != nil {
		return Cluster{}, fmt.Errorf("describe the EKS cluster %s: %w", name, short(err))
	}
	c := Cluster{Name: name, Entries: true}
	if got.Cluster == nil {
		return c, fmt.Errorf("describe the EKS cluster %s: the answer of AWS is empty", name)
	}
	c.Endpoint = aws.ToString(got.Cluster.Endpoint)
	if a := got.Cluster.CertificateAuthority; a != nil {
		c.CertificateAuthority = aws.ToString(a.Data)
	}
	if v := got.Cluster.ResourcesVpcConfig; v != nil {
		c.Private = !v.EndpointPublicAccess && v.EndpointPrivateAccess
	}
	if a := got.Cluster.AccessConfig; a != nil {
		c.Entries = a.AuthenticationMode != types.AuthenticationModeConfigMap
		c.ConfigMap = a.AuthenticationMode != types.AuthenticationModeApi
	}
	if i := got.Cluster.Identity; i != nil && i.Oidc != nil {
		issuer := strings.TrimPrefix(aws.ToString(i.Oidc.Issuer), "https://")
		c.OIDCARN = "arn:" + who.Partition + ":iam::" + who.Account + ":oidc-provider/" + issuer
	}
	return c, nil
}

// ErrPrivate is the error for a cluster without a public endpoint. It completes a message that starts with the cluster.
var ErrPrivate = errors.New("has no public endpoint, which Step Functions needs: enable it (it can be limited to the addresses of AWS), " +
	"or run the pipeline in the cluster (rayorch serve)")

// Target has what is needed to connect to a cluster.
type Target struct {
	Name, Endpoint, CertificateAuthority string
	// Namespace is the namespace of objects that do not specify one.
	Namespace string
	// AdminRole is the ARN of the role to use in the cluster. If the caller cannot assume it, HandlerRole assumes it.
	AdminRole, HandlerRole string
}

// session is the role session name in CloudTrail.
const session = "rayorch-deploy"

// admin returns credentials of the cluster's admin role, which it assumes directly or through the handler role. Only a denied
// request leads to the handler role, so that other errors, such as an unreachable STS, are not hidden.
func (d *Deployer) admin(ctx context.Context, t Target, who Caller) (aws.CredentialsProvider, error) {
	direct := d.assume(d.sts, t.AdminRole)
	_, err := direct.Retrieve(ctx)
	if err == nil || !denied(err) {
		return direct, wrapAssume(t.AdminRole, err)
	}
	if t.HandlerRole == "" || t.HandlerRole == t.AdminRole {
		return nil, d.cannotAssume(t, who, err)
	}
	handler := d.assume(d.sts, t.HandlerRole)
	if _, err := handler.Retrieve(ctx); err != nil {
		return nil, d.cannotAssume(t, who, err)
	}
	cfg := d.aws.Copy()
	cfg.Credentials = handler
	chained := d.assume(sts.NewFromConfig(cfg), t.AdminRole)
	if _, err := chained.Retrieve(ctx); err != nil {
		return nil, d.cannotAssume(t, who, err)
	}
	d.printf("assumed the admin role %s through %s", t.AdminRole, t.HandlerRole)
	return chained, nil
}

func (d *Deployer) assume(client *sts.Client, role string) aws.CredentialsProvider {
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, role, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = session
	}))
}

func wrapAssume(role string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("assume %s: %w", role, short(err))
}

// cannotAssume returns the error for roles that the caller cannot assume, with two solutions that can be copied: a statement
// for the trust policy of the admin role, or an access entry.
func (d *Deployer) cannotAssume(t Target, who Caller, err error) error {
	return fmt.Errorf(`%s cannot assume %s, neither directly nor through %s: %w
either add this statement to the trust policy of %s
  {"Effect": "Allow", "Principal": {"AWS": "%s"}, "Action": "sts:AssumeRole"}
and allow %s to call sts:AssumeRole on it,
or set eks_cluster_admin_role_arn to a role that you can assume, and give it access to the cluster:
%s`, who.ARN, t.AdminRole, t.HandlerRole, short(err), t.AdminRole, roleOf(who.ARN), roleOf(who.ARN), entryCommands(t.Name, roleOf(who.ARN)))
}

// entryCommands returns the commands that create an access entry for an administrator.
func entryCommands(cluster, role string) string {
	policy := "arn:" + strings.Split(role+":::", ":")[1] + ":eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
	return "  aws eks create-access-entry --cluster-name " + cluster + " --principal-arn " + role + "\n" +
		"  aws eks associate-access-policy --cluster-name " + cluster + " --principal-arn " + role +
		" --access-scope type=cluster --policy-arn " + policy
}

// roleOf returns the ARN of the role of an assumed-role session, for trust policies and access entries; it returns any other
// ARN unchanged. The ARN of a session lacks the path of the role, so the result is wrong for a role with a path.
func roleOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "sts" {
		return arn
	}
	name := strings.Split(parts[5], "/")
	if len(name) < 2 || name[0] != "assumed-role" {
		return arn
	}
	return "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + name[1]
}

// region returns the region of a cluster, from its endpoint. For an endpoint that is not on AWS, it returns the region of the
// configuration.
func (d *Deployer) region(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return d.aws.Region
	}
	labels := strings.Split(u.Hostname(), ".")
	for i, l := range labels {
		if l == "eks" && i > 0 && i+1 < len(labels) && strings.HasPrefix(labels[i+1], "amazonaws") {
			return labels[i-1]
		}
	}
	return d.aws.Region
}

// connect connects to the cluster with its admin role and verifies that the cluster accepts the credentials.
func (d *Deployer) connect(ctx context.Context, t Target, who Caller) (*kube.Client, error) {
	credentials, err := d.admin(ctx, t, who)
	if err != nil {
		return nil, err
	}
	token := &ekstoken.Source{Credentials: credentials, Region: d.region(t.Endpoint), Cluster: t.Name, Now: d.now}
	k, err := d.open(kube.Config{Endpoint: t.Endpoint, CertificateAuthority: t.CertificateAuthority, Namespace: t.Namespace, Token: token.Token})
	if err != nil {
		return nil, err
	}
	err = d.retry(ctx, func() error {
		_, err := k.Do(ctx, kube.Request{Path: "/version"})
		return err
	})
	var unreachable *kube.UnreachableError
	switch {
	case errors.As(err, &unreachable):
		return nil, fmt.Errorf("reach the cluster %s: %w\ncheck that its public endpoint is enabled and allows connections from this address", t.Name, err)
	case kube.Code(err) == http.StatusUnauthorized:
		return nil, fmt.Errorf("the cluster %s does not know %s: to give it access, run\n%s", t.Name, t.AdminRole, entryCommands(t.Name, t.AdminRole))
	}
	return k, err
}

// refused adds to an error how to fix missing permissions of the admin role in the cluster. It returns other errors unchanged.
func refused(t Target, err error) error {
	if kube.Code(err) != http.StatusForbidden {
		return err
	}
	return fmt.Errorf("%w\n%s lacks permissions in the cluster %s: to make it an administrator, run\n%s",
		err, t.AdminRole, t.Name, entryCommands(t.Name, t.AdminRole))
}
