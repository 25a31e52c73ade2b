package aws_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/aws/deploy"
)

// denying starts a proxy of the emulator's STS that denies AssumeRole of some roles to the tests' access key, as trust policies do, and
// returns its URL. The emulators do not check trust policies.
func denying(t *testing.T, e *awstest.Emulator, roles ...string) string {
	t.Helper()
	to, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	next := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		for _, role := range roles {
			if form.Get("Action") == "AssumeRole" && strings.HasSuffix(form.Get("RoleArn"), "/"+role) && strings.Contains(r.Header.Get("Authorization"), "AKIATEST") {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>`)
				return
			}
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestRoles checks that deploy assumes the admin role through the handler role if it may not assume it directly, and that the
// error suggests how to fix the policies if both are denied.
func TestRoles(t *testing.T) {
	e := awstest.Moto(t)
	t.Run("through the handler", func(t *testing.T) {
		p := newFixture(t, e, "AWS_ENDPOINT_URL_STS="+denying(t, e, "eks-admin"))
		plan := p.plan(t, clustertest.Name("roles"), 1, nil)
		p.deploy(t, plan)
		if log := p.log(); !strings.Contains(log, "through arn:aws:iam::"+e.Account+":role/eks-handler") {
			t.Errorf("deploy did not use the handler role:\n%s", log)
		}
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	})
	t.Run("neither", func(t *testing.T) {
		p := newFixture(t, e, "AWS_ENDPOINT_URL_STS="+denying(t, e, "eks-admin", "eks-handler"))
		_, err := p.Deploy(t.Context(), p.plan(t, clustertest.Name("roles"), 1, nil))
		for _, want := range []string{"role/eks-admin", "role/eks-handler", `"Action": "sts:AssumeRole"`, `"Principal": {"AWS": "arn:`, "aws eks create-access-entry"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v\nwant %s in the error", err, want)
			}
		}
	})
	t.Run("unknown to the cluster", func(t *testing.T) {
		p := newFixture(t, e)
		p.eks.Revoke(p.admin())
		_, err := p.Deploy(t.Context(), p.plan(t, clustertest.Name("roles"), 1, nil))
		if err == nil || !strings.Contains(err.Error(), "does not know arn:aws:iam::"+e.Account+":role/eks-admin") || !strings.Contains(err.Error(), "associate-access-policy") {
			t.Errorf("got %v, want an error that the cluster does not know the role", err)
		}
	})
}

// TestDescribe checks what deploy reads from DescribeCluster.
func TestDescribe(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	c, err := p.Describe(t.Context(), p.eks.Name, p.caller)
	if err != nil || c.Endpoint != p.eks.Endpoint || c.CertificateAuthority != p.eks.CA || !c.Entries || c.Private ||
		c.OIDCARN != "arn:aws:iam::"+p.e.Account+":oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/DOUBLE" {
		t.Errorf("got %+v, %v, want the values of the fake EKS with access entries and a public endpoint", c, err)
	}
	p.eks.Mode("CONFIG_MAP")
	p.eks.Private()
	if c, err := p.Describe(t.Context(), p.eks.Name, p.caller); err != nil || c.Entries || !c.ConfigMap || !c.Private {
		t.Errorf("got %+v, %v, want a private cluster with aws-auth only", c, err)
	}
	if _, err := p.Describe(t.Context(), "other", p.caller); err == nil || !strings.Contains(err.Error(), "EKS cluster other") {
		t.Errorf("got %v, want an error that names the EKS cluster other", err)
	}
}

// TestBusyCluster checks that deploy and destroy tolerate temporary failures of the cluster, and report permanent ones.
func TestBusyCluster(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	module := clustertest.Name("busy")
	plan := p.plan(t, module, 1, nil)
	p.eks.Fail(2)
	p.deploy(t, plan)
	if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module); got != want {
		t.Errorf("in the cluster: %s, want %s", got, want)
	}
	p.eks.Fail(1000)
	if _, err := p.Deploy(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("without an API server: got %v, want status 502 in the error", err)
	}
	p.eks.Fail(3)
	p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	if got := p.present(t, module); got != "" {
		t.Errorf("left in the cluster: %s", got)
	}
}

// cutting is an HTTP client that cancels a context at the at-th request to AWS: before the request is sent, or after the response.
type cutting struct {
	at     int64
	calls  atomic.Int64
	cancel context.CancelFunc
	before bool
}

func (c *cutting) Do(r *http.Request) (*http.Response, error) {
	last := c.calls.Add(1) == c.at
	if last && c.before {
		c.cancel()
		return nil, context.Canceled
	}
	res, err := http.DefaultClient.Do(r)
	if last {
		c.cancel()
	}
	return res, err
}

// interrupted calls do with a deployer that is interrupted at the n-th request. It reports whether do ended before that.
func (p *fixture) interrupted(t *testing.T, n int, before bool, do func(ctx context.Context, d *deploy.Deployer) error) (done bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := &cutting{at: int64(n), cancel: cancel, before: before}
	cfg := p.e.Config(t)
	cfg.HTTPClient = cut
	err := do(ctx, deploy.New(deploy.Config{AWS: cfg, Pause: 20 * time.Millisecond, Printf: p.say}))
	if err == nil {
		return true
	}
	// The error itself is not checked, because an interrupted call can return other errors than context.Canceled; the command then prints
	// that it was interrupted.
	if ctx.Err() == nil {
		t.Fatalf("%s\nfailed before the interrupt at request %d: %v", p.log(), n, err)
	}
	return false
}

// TestInterrupted interrupts deploy and destroy at each of their requests. The same operation must succeed when it is repeated.
func TestInterrupted(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	module := clustertest.Name("cut")
	plan := p.plan(t, module, 1, nil)
	for n, done := 1, false; !done; n++ {
		before := n%2 == 0
		done = p.interrupted(t, n, before, func(ctx context.Context, d *deploy.Deployer) error {
			_, err := d.Deploy(ctx, plan)
			return err
		})
		p.deploy(t, plan)
		if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module); got != want {
			t.Fatalf("after an interrupt at request %d: in the cluster: %s, want %s", n, got, want)
		}
		destroyed := p.interrupted(t, n, before, func(ctx context.Context, d *deploy.Deployer) error {
			return d.Remove(ctx, deploy.Removal{Stack: plan.Stack.Name})
		})
		done = done && destroyed
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
		if got := p.present(t, module) + string(p.status(t, plan.Stack.Name)); got != "" && got != "DELETE_COMPLETE" {
			t.Fatalf("after an interrupt at request %d: left behind: %s", n, got)
		}
	}
}

// TestBrokenStacks checks that deploy recovers from an unexecuted change set and from a failed creation.
func TestBrokenStacks(t *testing.T) {
	p := newFixture(t, awstest.LocalStack(t))
	plan := p.plan(t, clustertest.Name("broken"), 1, nil)
	t.Run("unexecuted change set", func(t *testing.T) {
		if _, err := p.cfn.CreateChangeSet(t.Context(), &cloudformation.CreateChangeSetInput{StackName: &plan.Stack.Name, ChangeSetName: aws.String("left"),
			ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: aws.String(string(plan.Stack.Template))}); err != nil {
			t.Fatal(err)
		}
		p.deploy(t, plan)
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	})
	t.Run("failed creation", func(t *testing.T) {
		bad := p.plan(t, clustertest.Name("broken"), 1, nil)
		bad.Stack.Name = plan.Stack.Name
		bad.Stack.Template = []byte(strings.Replace(string(plan.Stack.Template), `"Type\":\"Wait\"`, `"Type\":\"Weit\"`, 1))
		if _, err := p.Deploy(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "StateMachine") {
			t.Fatalf("deploy with an invalid definition: got %v, want an error about StateMachine", err)
		}
		p.deploy(t, plan)
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	})
}

// TestKeepLogs checks that destroy with KeepLogs keeps the log group.
func TestKeepLogs(t *testing.T) {
	p := newFixture(t, awstest.LocalStack(t))
	plan := p.plan(t, clustertest.Name("logs"), 1, nil)
	p.deploy(t, plan)
	p.destroy(t, deploy.Removal{Stack: plan.Stack.Name, KeepLogs: true})
	got := p.awsCLI(t, "logs", "describe-log-groups", "--log-group-name-prefix", plan.Stack.Record.LogGroup)
	if !strings.Contains(got, plan.Stack.Record.LogGroup) {
		t.Errorf("the log group %s was deleted: %s", plan.Stack.Record.LogGroup, got)
	}
	p.awsCLI(t, "logs", "delete-log-group", "--log-group-name", plan.Stack.Record.LogGroup)
}
