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

// Cluster is what has to be known of an EKS cluster.
type Cluster struct {
	Name, Endpoint, CertificateAuthority string
	// OIDCARN is the ARN that its OIDC provider has in the caller's account, where one was made.
	OIDCARN string
	// Entries says that it knows access entries, ConfigMap that it reads aws-auth.
	Entries, ConfigMap bool
	// Private says that its API server has no public endpoint.
	Private bool
}

// Describe asks EKS for a cluster.
func (d *Deployer) Describe(ctx context.Context, name string, who Caller) (Cluster, error) {
	got, err := d.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
	if err != nil {
		return Cluster{}, fmt.Errorf("describe the EKS cluster %s: %w", name, short(err))
	}
	c := Cluster{Name: name, Entries: true}
	if got.Cluster == nil {
		return c, fmt.Errorf("describe the EKS cluster %s: AWS answers nothing", name)
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

// ErrPrivate says that nothing outside the cluster's network reaches its API server: Step Functions cannot either.
var ErrPrivate = errors.New("has no public endpoint, and Step Functions calls a cluster by that alone: switch it on for the cluster (it can be limited to AWS's addresses), or run the pipeline in the cluster (rayorch serve)")

// Target is the cluster to write to and the roles to do it by.
type Target struct {
	Name, Endpoint, CertificateAuthority string
	// Namespace is the one that calls mean by default.
	Namespace              string
	AdminRole, HandlerRole string
}

// session names what rayorch does as another role in CloudTrail.
const session = "rayorch-deploy"

// admin are credentials of the cluster's admin role: assumed directly, else by the handler role.
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
	d.say("the admin role %s is assumed by way of %s", t.AdminRole, t.HandlerRole)
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

// cannotAssume says exactly what would let the caller in: a trust statement of the admin role, or an access entry.
func (d *Deployer) cannotAssume(t Target, who Caller, err error) error {
	return fmt.Errorf(`neither %s nor %s can be assumed by %s: %w
either add this statement to the trust policy of %s:
  {"Effect": "Allow", "Principal": {"AWS": "%s"}, "Action": "sts:AssumeRole"}
and allow sts:AssumeRole on it to %s,
or name a role that can be assumed (eks_cluster_admin_role_arn) and let it into the cluster:
%s`, t.AdminRole, t.HandlerRole, who.ARN, short(err), t.AdminRole, roleOf(who.ARN), roleOf(who.ARN), entryCommands(t.Name, roleOf(who.ARN)))
}

// entryCommands make an access entry for an administrator.
func entryCommands(cluster, role string) string {
	policy := "arn:" + strings.Split(role+":::", ":")[1] + ":eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
	return "  aws eks create-access-entry --cluster-name " + cluster + " --principal-arn " + role + "\n" +
		"  aws eks associate-access-policy --cluster-name " + cluster + " --principal-arn " + role +
		" --access-scope type=cluster --policy-arn " + policy
}

// roleOf is the role behind a session's ARN, as trust policies and access entries want it: its path is not in a session's
// ARN, so a role with one must be looked up by hand.
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

// region is where a cluster is: its endpoint says so on AWS.
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

// connect opens the cluster as its admin role, and makes sure that it is let in.
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
	err = d.patiently(ctx, func() error {
		_, err := k.Do(ctx, kube.Request{Path: "/version"})
		return err
	})
	var unreachable *kube.UnreachableError
	switch {
	case errors.As(err, &unreachable):
		return nil, fmt.Errorf("reach the cluster %s: %w\nis its public endpoint on, and does it admit this address?", t.Name, err)
	case kube.Code(err) == http.StatusUnauthorized:
		return nil, fmt.Errorf("the cluster %s does not know %s; let it in:\n%s", t.Name, t.AdminRole, entryCommands(t.Name, t.AdminRole))
	}
	return k, err
}

// refused explains a call that the cluster forbids its admin role.
func refused(t Target, err error) error {
	if kube.Code(err) != http.StatusForbidden {
		return err
	}
	return fmt.Errorf("%w\n%s may do too little in the cluster %s; as an administrator it may do this:\n%s", err, t.AdminRole, t.Name, entryCommands(t.Name, t.AdminRole))
}
