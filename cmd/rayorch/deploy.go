package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/engine/objects"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
)

func (a *app) deployCommand() *cobra.Command {
	var o awsOptions
	var metadata string
	c := &cobra.Command{
		Use:   "deploy [PIPELINE]",
		Short: "bring a pipeline to AWS: Step Functions runs it on an EKS cluster",
		Long: "deploy makes a CloudFormation stack with the state machine and all it needs, shows what changes, applies it, and\n" +
			"applies the Kubernetes objects with the cluster's admin role. It can be interrupted and run again. Parameters come from\n" +
			"flags, then --params-file, then SEEDFARMER_PARAMETER_*, then the pipeline's target. Without a pipeline it deploys the\n" +
			"published Seed-Farmer module's workload (examples/gptj).",
		Example: "  rayorch deploy examples/shakespeare --params-file params.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.deploy(c.Context(), o, metadata)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&metadata, "metadata-file", "", "write the outputs as one JSON object, as Seed-Farmer reads a module's metadata")
	return c
}

func (a *app) deploy(ctx context.Context, o awsOptions, metadata string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, plan, params, uploads, err := a.plan(ctx, o)
	if err != nil {
		return err
	}
	if err := a.upload(ctx, uploads, func(format string, args ...any) { a.say(fmt.Sprintf(format, args...)) }); err != nil {
		return err
	}
	if plan.URL, err = a.uploadTemplate(ctx, plan.Stack, params); err != nil {
		return err
	}
	r, err := d.Deploy(ctx, plan)
	if ctx.Err() != nil {
		return fail(exitInterrupted, "run the same command again: it goes on where this one stopped", "interrupted")
	}
	if err != nil {
		return err
	}
	if metadata != "" {
		if err := writeMetadata(metadata, r.Outputs); err != nil {
			return err
		}
	}
	return a.printOutputs(plan.Stack.Name, r)
}

// plan works out what is to be deployed, and makes sure that it can be. The uploads must be in the object store before a run.
func (a *app) plan(ctx context.Context, o awsOptions) (*deploy.Deployer, deploy.Plan, stack.Params, []compile.Upload, error) {
	d, who, err := a.deployer(ctx)
	if err != nil {
		return nil, deploy.Plan{}, stack.Params{}, nil, err
	}
	s, err := a.awsStack(ctx, o, a.askEKS(d, who))
	if err != nil {
		return nil, deploy.Plan{}, stack.Params{}, nil, err
	}
	for _, note := range s.compiled.Notes {
		fmt.Fprintf(a.err, "rayorch: note: %s\n", note)
	}
	return d, deploy.Plan{Stack: s.Stack, Caller: who}, s.params, s.compiled.Uploads, nil
}

func (a *app) deployer(ctx context.Context) (*deploy.Deployer, deploy.Caller, error) {
	cfg, err := a.awsConfig(ctx)
	if err != nil {
		return nil, deploy.Caller{}, err
	}
	d := deploy.New(deploy.Config{AWS: cfg, Pause: stackPause(), Say: func(format string, args ...any) {
		fmt.Fprintf(a.err, format+"\n", args...)
	}})
	who, err := d.Caller(ctx)
	return d, who, err
}

// stackPause is the time between looks at a stack; tests against emulators, which are quick, look more often.
func stackPause() time.Duration {
	d, err := time.ParseDuration(os.Getenv("RAYORCH_AWS_PAUSE"))
	if err != nil || d <= 0 {
		return 0
	}
	return d
}

// askEKS finds what EKS knows of the cluster and nobody gave: endpoint, certificate, OIDC provider, and how it lets roles
// in. Where all is given, a refusal to describe the cluster is borne: the published module never asked.
func (a *app) askEKS(d *deploy.Deployer, who deploy.Caller) lookup {
	return func(ctx context.Context, given func(string) string) (map[string]any, error) {
		name := given("eks_cluster_name")
		if name == "" {
			return nil, nil
		}
		c, err := d.Describe(ctx, name, who)
		if err != nil {
			fmt.Fprintf(a.err, "rayorch: note: %v; going by the parameters alone\n", err)
			return nil, nil // what is missing now is reported with all other parameters
		}
		if c.Private {
			return nil, fmt.Errorf("the cluster %s %w", name, deploy.ErrPrivate)
		}
		found := map[string]any{"eks_cluster_endpoint": c.Endpoint, "eks_cert_auth_data": c.CertificateAuthority, "eks_oidc_arn": c.OIDCARN}
		if access := given("access"); access == "" || access == "auto" {
			found["access"] = map[bool]string{true: "entry", false: "aws-auth"}[c.Entries]
		}
		return found, nil
	}
}

// uploadTemplate brings a template that is too large for a request to a bucket, or says so before anything is changed.
func (a *app) uploadTemplate(ctx context.Context, s *stack.Stack, p stack.Params) (string, error) {
	if len(s.Template) <= stepfn.MaxInlineTemplate {
		return "", nil
	}
	if p.TemplateBucket == "" {
		return "", fail(exitUsage, "name a bucket by --template-bucket", "the template has %d bytes; CloudFormation takes %d in a request, more from a bucket",
			len(s.Template), stepfn.MaxInlineTemplate)
	}
	cfg, err := a.awsConfig(ctx)
	if err != nil {
		return "", err
	}
	public := "https://s3." + cfg.Region + ".amazonaws.com"
	if strings.HasPrefix(cfg.Region, "cn-") {
		public += ".cn"
	}
	endpoint := public
	if cfg.BaseEndpoint != nil { // an emulator's; it knows its objects by AWS' addresses
		endpoint = aws.ToString(cfg.BaseEndpoint)
	}
	key := "rayorch/" + s.Name + "/" + s.Hash() + ".json"
	bucket := objects.S3{Endpoint: endpoint, Region: cfg.Region, Credentials: cfg.Credentials}
	if err := bucket.Put(ctx, p.TemplateBucket, key, bytes.NewReader(s.Template)); err != nil {
		return "", fmt.Errorf("upload the template to s3://%s/%s: %w", p.TemplateBucket, key, err)
	}
	return public + "/" + p.TemplateBucket + "/" + key, nil
}

// writeMetadata writes the outputs as Seed-Farmer wants a module's metadata: one object, merged into the file that is
// there.
func writeMetadata(path string, outputs map[string]string) error {
	all := map[string]any{}
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &all) != nil {
		return fmt.Errorf("%s is there and no JSON object", path)
	}
	// The published module's four: what was once in a module's metadata stays there for ever.
	for _, k := range []string{"EksServiceAccountName", "EksServiceAccountRoleArn", "StateMachineArn", "LogGroupArn"} {
		all[k] = outputs[k]
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

func (a *app) printOutputs(name string, r deploy.Result) error {
	if a.json() {
		return a.print(map[string]any{"stack": name, "changed": r.Changed, "outputs": r.Outputs})
	}
	for _, k := range slices.Sorted(maps.Keys(r.Outputs)) {
		if _, err := fmt.Fprintf(a.out, "%-26s %s\n", k, r.Outputs[k]); err != nil {
			return err
		}
	}
	return nil
}
