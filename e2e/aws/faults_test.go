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

// denying is an STS that refuses some roles to whoever has the test's own key, as trust policies do; no emulator does.
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

// TestRoles goes by the handler role where the direct way is denied, and says what would help where both are.
func TestRoles(t *testing.T) {
	e := awstest.Moto(t)
	t.Run("by the handler", func(t *testing.T) {
		p := newPlace(t, e, "AWS_ENDPOINT_URL_STS="+denying(t, e, "eks-admin"))
		plan := p.plan(t, clustertest.Name("roles"), 1, nil)
		p.deploy(t, plan)
		if log := p.log(); !strings.Contains(log, "by way of arn:aws:iam::"+e.Account+":role/eks-handler") {
			t.Errorf("it says:\n%s", log)
		}
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	})
	t.Run("neither", func(t *testing.T) {
		p := newPlace(t, e, "AWS_ENDPOINT_URL_STS="+denying(t, e, "eks-admin", "eks-handler"))
		_, err := p.Deploy(t.Context(), p.plan(t, clustertest.Name("roles"), 1, nil))
		for _, want := range []string{"role/eks-admin", "role/eks-handler", `"Action": "sts:AssumeRole"`, `"Principal": {"AWS": "arn:`, "aws eks create-access-entry"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v\nwant %s", err, want)
			}
		}
	})
	t.Run("unknown to the cluster", func(t *testing.T) {
		p := newPlace(t, e)
		p.eks.Revoke(p.admin())
		_, err := p.Deploy(t.Context(), p.plan(t, clustertest.Name("roles"), 1, nil))
		if err == nil || !strings.Contains(err.Error(), "does not know arn:aws:iam::"+e.Account+":role/eks-admin") || !strings.Contains(err.Error(), "associate-access-policy") {
			t.Errorf("%v", err)
		}
	})
}

func TestDescribe(t *testing.T) {
	p := newPlace(t, awstest.Moto(t))
	c, err := p.Describe(t.Context(), p.eks.Name, p.caller)
	if err != nil || c.Endpoint != p.eks.Endpoint || c.CertificateAuthority != p.eks.CA || !c.Entries || c.Private ||
		c.OIDCARN != "arn:aws:iam::"+p.e.Account+":oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/DOUBLE" {
		t.Errorf("%+v, %v", c, err)
	}
	p.eks.Mode("CONFIG_MAP")
	p.eks.Private()
	if c, err := p.Describe(t.Context(), p.eks.Name, p.caller); err != nil || c.Entries || !c.ConfigMap || !c.Private {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := p.Describe(t.Context(), "other", p.caller); err == nil || !strings.Contains(err.Error(), "EKS cluster other") {
		t.Error(err)
	}
}

// TestBusyCluster wants failures of the cluster that pass to be borne, and others to be told.
func TestBusyCluster(t *testing.T) {
	p := newPlace(t, awstest.Moto(t))
	module := clustertest.Name("busy")
	plan := p.plan(t, module, 1, nil)
	p.eks.Fail(2)
	p.deploy(t, plan)
	if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module); got != want {
		t.Errorf("in the cluster: %s, want %s", got, want)
	}
	p.eks.Fail(1000)
	if _, err := p.Deploy(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("with no API server: %v", err)
	}
	p.eks.Fail(3)
	p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	if got := p.present(t, module); got != "" {
		t.Errorf("left in the cluster: %s", got)
	}
}

// cutting interrupts at the n-th call of AWS, after AWS has answered it or before it is sent.
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

// interrupted does something with a deployer that is cut off at the n-th call; done says that it came to its end.
func (p *place) interrupted(t *testing.T, n int, before bool, do func(ctx context.Context, d *deploy.Deployer) error) (done bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := &cutting{at: int64(n), cancel: cancel, before: before}
	cfg := p.e.Config(t)
	cfg.HTTPClient = cut
	err := do(ctx, deploy.New(deploy.Config{AWS: cfg, Pause: 20 * time.Millisecond, Say: p.say}))
	if err == nil {
		return true
	}
	// The command says that it was interrupted, whatever the error: a call that was answered but not read tells others.
	if ctx.Err() == nil {
		t.Fatalf("%s\nbefore the cut at call %d: %v", p.log(), n, err)
	}
	return false
}

// TestInterrupted cuts a deploy and a destroy off at each of their calls; the same command again comes to its end.
func TestInterrupted(t *testing.T) {
	p := newPlace(t, awstest.Moto(t))
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
			t.Fatalf("cut at call %d: in the cluster: %s, want %s", n, got, want)
		}
		gone := p.interrupted(t, n, before, func(ctx context.Context, d *deploy.Deployer) error {
			return d.Remove(ctx, deploy.Removal{Stack: plan.Stack.Name})
		})
		done = done && gone
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
		if got := p.present(t, module) + string(p.status(t, plan.Stack.Name)); got != "" && got != "DELETE_COMPLETE" {
			t.Fatalf("cut at call %d: left: %s", n, got)
		}
	}
}

// TestBrokenStacks finds a stack in a state that a deploy did not leave it in.
func TestBrokenStacks(t *testing.T) {
	p := newPlace(t, awstest.LocalStack(t))
	plan := p.plan(t, clustertest.Name("broken"), 1, nil)
	t.Run("a change set that nobody executed", func(t *testing.T) {
		if _, err := p.cfn.CreateChangeSet(t.Context(), &cloudformation.CreateChangeSetInput{StackName: &plan.Stack.Name, ChangeSetName: aws.String("left"),
			ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: aws.String(string(plan.Stack.Template))}); err != nil {
			t.Fatal(err)
		}
		p.deploy(t, plan)
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	})
	t.Run("a create that failed", func(t *testing.T) {
		bad := p.plan(t, clustertest.Name("broken"), 1, nil)
		bad.Stack.Name = plan.Stack.Name
		bad.Stack.Template = []byte(strings.Replace(string(plan.Stack.Template), `"Type\":\"Wait\"`, `"Type\":\"Weit\"`, 1))
		if _, err := p.Deploy(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "StateMachine") {
			t.Fatalf("an invalid definition: %v", err)
		}
		p.deploy(t, plan)
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	})
}

// TestKeepLogs leaves the log group behind, and only that.
func TestKeepLogs(t *testing.T) {
	p := newPlace(t, awstest.LocalStack(t))
	plan := p.plan(t, clustertest.Name("logs"), 1, nil)
	p.deploy(t, plan)
	p.destroy(t, deploy.Removal{Stack: plan.Stack.Name, KeepLogs: true})
	got := p.ask(t, "logs", "describe-log-groups", "--log-group-name-prefix", plan.Stack.Record.LogGroup)
	if !strings.Contains(got, plan.Stack.Record.LogGroup) {
		t.Errorf("the log group is gone: %s", got)
	}
	p.ask(t, "logs", "delete-log-group", "--log-group-name", plan.Stack.Record.LogGroup)
}
