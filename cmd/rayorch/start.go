package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// startOptions are the flags of start.
type startOptions struct {
	params []string // NAME=VALUE; excludes input
	input  string   // JSON
	name   string   // of the execution
	watch  bool
	ray    rayOptions
}

func startCommand(a *app) *cobra.Command {
	var o startOptions
	c := &cobra.Command{
		Use:   "start PIPELINE",
		Short: "start a registered pipeline or another state machine",
		Long: "start starts a state machine and prints the ARN of the execution. PIPELINE is NAME, NAME:ALIAS, NAME:VERSION or an ARN. A " +
			"server (rayorch serve) runs the execution. Without a server, use --watch: then this command runs it.",
		Example: "  rayorch start shakespeare --param steps=100 --watch",
		Args:    oneArg,
		RunE: func(c *cobra.Command, args []string) error {
			if o.input != "" && len(o.params) > 0 {
				return usage(c, errors.New("--input and --param are mutually exclusive"))
			}
			return a.start(c.Context(), args[0], o)
		},
	}
	c.Flags().StringArrayVarP(&o.params, "param", "p", nil, "parameter of the execution; can be repeated")
	c.Flags().StringVar(&o.input, "input", "", "complete input of the execution, as JSON")
	c.Flags().StringVar(&o.name, "name", "", "name of the execution (default: generated from the current time)")
	c.Flags().BoolVarP(&o.watch, "watch", "w", false, "watch the execution until it ends, like run")
	o.ray.flags(c)
	return c
}

// start starts an execution of a state machine. Without a server and without --watch it fails, because no process would run the execution.
func (a *app) start(ctx context.Context, what string, o startOptions) error {
	w := newWatcher(a.out, false)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: o.watch, Ray: o.ray}, func(s *session) (err error) {
		if o.name == "" {
			o.name = runName(time.Now())
		}
		var arn string
		err = s.over(ctx, func() (err error) {
			if s.owner != nil && !o.watch {
				return fail(exitUsage, "start rayorch serve first, or add --watch",
					"no server owns the state directory: no process would run the execution")
			}
			arn, err = s.startNamed(ctx, what, o)
			return err
		})
		if err != nil {
			return err
		}
		s.sayLeftOut(ctx, arn, w.screen.Printf)
		if o.watch {
			w.screen.Printf("run %s/%s", pipelineOf(arn), nameOf(arn))
			return w.watchToEnd(ctx, s, arn, 0)
		}
		return printARN(a.out, arn)
	})
}

// startNamed starts an execution of the state machine that what names, and makes the owner drive it.
func (s *session) startNamed(ctx context.Context, what string, o startOptions) (string, error) {
	machine, err := s.findMachine(ctx, what)
	if err != nil {
		return "", err
	}
	input, err := s.startInput(ctx, machine, o)
	if err != nil {
		return "", err
	}
	arn, err := s.client.Start(ctx, "execution", machine, o.name, input)
	if err != nil {
		return "", err
	}
	return arn, s.resume(ctx, arn)
}

// findMachine returns the ARN for NAME, NAME:VERSION or NAME:ALIAS. An ARN is returned as it is.
func (s *session) findMachine(ctx context.Context, what string) (string, error) {
	if strings.HasPrefix(what, "arn:") {
		return what, nil
	}
	name, qualifier, qualified := strings.Cut(what, ":")
	arn, err := s.client.MachineARN(ctx, name)
	if err != nil {
		return "", err
	}
	if arn == "" {
		return "", fail(exitError, "to register a pipeline: rayorch register", "state machine %s not found", name)
	}
	if qualified {
		arn += ":" + qualifier
	}
	return arn, nil
}

// startInput returns --input, or an object of the --param values with the types that the definition's Comment declares.
func (s *session) startInput(ctx context.Context, machine string, o startOptions) (string, error) {
	if o.input != "" {
		if !json.Valid([]byte(o.input)) {
			return "", fail(exitUsage, "", "--input is not valid JSON")
		}
		return o.input, nil
	}
	types, err := s.paramTypes(ctx, machine, len(o.params) > 0)
	if err != nil {
		return "", err
	}
	in := value.NewObject(len(o.params))
	for _, p := range o.params {
		name, text, ok := strings.Cut(p, "=")
		if !ok {
			return "", fail(exitUsage, "", "--param must be NAME=VALUE, got %q", p)
		}
		v, err := typedParam(types[name], text)
		if err != nil {
			return "", fail(exitUsage, "", "--param %s: %w", name, err)
		}
		in.Set(name, v)
	}
	return value.Text(in), nil
}

// paramTypes returns the types of the parameters from the schema that the compiler writes into the definition's Comment. A state machine
// that rayorch did not compile has no schema: its parameters are strings, unless --input is used.
func (s *session) paramTypes(ctx context.Context, machine string, wanted bool) (map[string]string, error) {
	if !wanted {
		return nil, nil
	}
	m, err := s.sfn.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(stepfn.Unqualified(machine))})
	if err != nil {
		return nil, apiError("describe the state machine", err)
	}
	var def struct{ Comment string }
	var comment struct {
		Params struct {
			Properties map[string]struct{ Type string }
		}
	}
	out := map[string]string{}
	if json.Unmarshal([]byte(aws.ToString(m.Definition)), &def) == nil {
		_ = json.Unmarshal([]byte(def.Comment), &comment) // the Comment may be any text
	}
	for name, p := range comment.Params.Properties {
		out[name] = p.Type
	}
	return out, nil
}
