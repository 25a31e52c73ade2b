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

func deployCommand(a *app) *cobra.Command {
	var o awsOptions
	var metadata string
	c := &cobra.Command{
		Use:   "deploy [PIPELINE]",
		Short: "deploy a pipeline to AWS, where Step Functions runs it on an EKS cluster",
		Long: "deploy creates or updates a CloudFormation stack with the state machine and the resources that it needs, shows the changes, " +
			"and applies the Kubernetes objects with the cluster's admin role. You can interrupt it and run it again. Parameters are read " +
			"from, in this order of precedence, flags, --params-file, the environment variables SEEDFARMER_PARAMETER_*, and the pipeline's " +
			"target. Without PIPELINE, deploy uses the workload of the published Seed-Farmer module (examples/gptj).",
		Example: "  rayorch deploy examples/shakespeare --params-file params.yaml",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.deploy(c.Context(), o, metadata)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&metadata, "metadata-file", "", "JSON file to write the outputs to, in the format of a Seed-Farmer module's metadata")
	return c
}

// deploy uploads working directories and the template, and then creates or updates the stack and the Kubernetes objects.
func (a *app) deploy(ctx context.Context, o awsOptions, metadata string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, plan, params, uploads, err := a.plan(ctx, o)
	if err != nil {
		return err
	}
	if err := a.upload(ctx, uploads, a.out.sayf); err != nil {
		return err
	}
	if plan.URL, err = a.uploadTemplate(ctx, plan.Stack, params); err != nil {
		return err
	}
	r, err := d.Deploy(ctx, plan)
	if ctx.Err() != nil {
		return fail(exitInterrupted, "to continue, run the same command again", "interrupted")
	}
	if err != nil {
		return err
	}
	if metadata != "" {
		if err := writeMetadata(metadata, r.Outputs); err != nil {
			return err
		}
	}
	return printOutputs(a.out, plan.Stack.Name, r)
}

// plan builds the stack to deploy and prints the compiler's notes. The returned uploads must be in the object store before a run starts.
func (a *app) plan(ctx context.Context, o awsOptions) (*deploy.Deployer, deploy.Plan, stack.Params, []compile.Upload, error) {
	d, who, err := a.deployer(ctx)
	if err != nil {
		return nil, deploy.Plan{}, stack.Params{}, nil, err
	}
	s, err := a.awsStack(ctx, o, lookUpEKS(a.out, d, who))
	if err != nil {
		return nil, deploy.Plan{}, stack.Params{}, nil, err
	}
	for _, note := range s.compiled.Notes {
		a.out.note(note)
	}
	return d, deploy.Plan{Stack: s.Stack, Caller: who}, s.params, s.compiled.Uploads, nil
}

// deployer returns a client for deployments, and the identity of the caller on AWS.
func (a *app) deployer(ctx context.Context) (*deploy.Deployer, deploy.Caller, error) {
	cfg, err := a.aws.config(ctx)
	if err != nil {
		return nil, deploy.Caller{}, err
	}
	d := deploy.New(deploy.Config{AWS: cfg, Pause: stackPause(), Printf: a.out.sayf})
	who, err := d.Caller(ctx)
	return d, who, err
}

// stackPause is the time between two polls of a stack; 0 is the default of package deploy. Tests set RAYORCH_AWS_PAUSE, because the AWS
// emulators are fast.
func stackPause() time.Duration {
	d, err := time.ParseDuration(os.Getenv("RAYORCH_AWS_PAUSE"))
	if err != nil || d <= 0 {
		return 0
	}
	return d
}

// lookUpEKS returns a lookup for the parameters that describe the cluster: endpoint, certificate, OIDC provider and authentication mode. If
// the caller is not allowed to describe the cluster, that is only a note: the published module, whose roles we accept, never describes it.
func lookUpEKS(p *printer, d *deploy.Deployer, who deploy.Caller) lookup {
	return func(ctx context.Context, given func(string) string) (map[string]any, error) {
		name := given("eks_cluster_name")
		if name == "" {
			return nil, nil
		}
		c, err := d.Describe(ctx, name, who)
		if err != nil {
			p.note(fmt.Sprintf("%v; only the given parameters are used", err))
			return nil, nil // parameters that are missing now are reported together with all other errors
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

// uploadTemplate uploads a template that is too large for a request to --template-bucket, and returns its URL; "" for a small template.
func (a *app) uploadTemplate(ctx context.Context, s *stack.Stack, p stack.Params) (string, error) {
	if len(s.Template) <= stepfn.MaxInlineTemplate {
		return "", nil
	}
	if p.TemplateBucket == "" {
		return "", fail(exitUsage, "name a bucket with --template-bucket",
			"the template has %d bytes; a request to CloudFormation can have at most %d, a template in a bucket more",
			len(s.Template), stepfn.MaxInlineTemplate)
	}
	cfg, err := a.aws.config(ctx)
	if err != nil {
		return "", err
	}
	public := "https://s3." + cfg.Region + ".amazonaws.com"
	if strings.HasPrefix(cfg.Region, "cn-") {
		public += ".cn"
	}
	endpoint := public
	if cfg.BaseEndpoint != nil { // an emulator: it stores the object, but expects the URL that the object would have on AWS
		endpoint = aws.ToString(cfg.BaseEndpoint)
	}
	// The key contains a hash: an upload never changes a template that a change set refers to.
	key := "rayorch/" + s.Name + "/" + s.Hash() + ".json"
	bucket := objects.S3{Endpoint: endpoint, Region: cfg.Region, Credentials: cfg.Credentials}
	if err := bucket.Put(ctx, p.TemplateBucket, key, bytes.NewReader(s.Template)); err != nil {
		return "", fmt.Errorf("upload the template to s3://%s/%s: %w", p.TemplateBucket, key, err)
	}
	return public + "/" + p.TemplateBucket + "/" + key, nil
}

// writeMetadata writes the outputs in the format of a Seed-Farmer module's metadata: it merges them into the JSON object in the file.
func writeMetadata(path string, outputs map[string]string) error {
	all := map[string]any{}
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &all) != nil {
		return fmt.Errorf("%s exists and is not a JSON object", path)
	}
	// These are the published module's outputs. Other modules may read them, so none is ever removed.
	for _, k := range []string{"EksServiceAccountName", "EksServiceAccountRoleArn", "StateMachineArn", "LogGroupArn"} {
		all[k] = outputs[k]
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// printOutputs prints the outputs of the stack, sorted by name.
func printOutputs(p *printer, name string, r deploy.Result) error {
	return p.result(map[string]any{"stack": name, "changed": r.Changed, "outputs": r.Outputs}, func() {
		for _, k := range slices.Sorted(maps.Keys(r.Outputs)) {
			p.printf("%-26s %s\n", k, r.Outputs[k])
		}
	})
}
