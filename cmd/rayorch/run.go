package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// runOptions are the flags of run, resume and redrive, which have some of them only.
type runOptions struct {
	source  sourceOptions
	ray     rayOptions
	params  []string // NAME=VALUE
	file    string   // --params-file
	name    string   // of the execution
	follow  bool     // print the output of the jobs
	detach  bool
	secrets map[string]string // values by the name of the environment variable
	wait    time.Duration     // 0: until the run ends
	keepRay bool
	console bool
	// stackName is for a target of kind aws.
	stackName string
}

func runCommand(a *app) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run [PIPELINE]",
		Short: "run a pipeline and watch it until it ends",
		Long: "run starts a pipeline and shows its steps until it ends. PIPELINE is a pipeline file, or a directory with a pipeline.yaml " +
			"(default: the current directory). Ctrl-C stops the run and its jobs. Closing the terminal does not: as with --detach, and when " +
			"--wait ends, a background process drives the run to its end. If that process is killed, rayorch resume resumes the run.\n\n" +
			"The run uses the first of these Rays:\n" +
			"  1. the one at --ray-address\n" +
			"  2. the one at RAY_API_SERVER_ADDRESS or RAY_ADDRESS\n" +
			"  3. one that you started on this machine\n" +
			"  4. one that rayorch starts for the run, and stops after it\n" +
			"rayorch does not use a Ray on this machine that does not accept your token or that belongs to another state directory. A run " +
			"keeps its Ray; if that Ray is lost, rayorch starts one.\n\n" +
			"With a target of kind aws, or with --aws, run starts the state machine that rayorch deploy created, and watches the " +
			"execution.\n\n" +
			"Exit codes: 0 succeeded, 1 error, 2 usage error, 3 the run failed, 4 still running when --wait ended, 129 terminal closed, " +
			"130 interrupted.",
		Example: "  rayorch run examples/shakespeare --param steps=100",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.source.path = first(args)
			if err := atLeastZero(c, "wait", o.wait); err != nil {
				return err
			}
			if o.detach && (o.console || o.wait > 0 || o.follow) {
				return usage(c, errors.New("--detach cannot be combined with --console, --wait or --follow"))
			}
			if a.onAWS(o.source) {
				return a.runOnAWS(c.Context(), o)
			}
			return a.runPipeline(c.Context(), o)
		},
	}
	o.source.flags(c)
	o.ray.flags(c)
	o.watchFlags(c)
	f := c.Flags()
	f.StringArrayVarP(&o.params, "param", "p", nil, "parameter of the run; can be repeated")
	f.StringVar(&o.file, "params-file", "", "YAML or JSON file with parameters; --param takes precedence")
	f.StringVar(&o.name, "name", "", "name of the run (default: generated from the current time)")
	f.BoolVarP(&o.detach, "detach", "d", false, "start the run in the background, print its ARN and exit")
	f.BoolVar(&o.console, "console", false, "serve the web console until the run ends (on a terminal: until Ctrl-C), and print its URL")
	f.StringVar(&o.stackName, "stack-name", "", deployedStack)
	markAWS(c, "stack-name")
	f.BoolVar(&o.keepRay, "keep-ray", false, "do not stop a Ray that was started for this run")
	return c
}

// watchFlags adds the flags of the commands that watch a run until it ends.
func (o *runOptions) watchFlags(c *cobra.Command) {
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "print the output of the jobs, each line prefixed with its step")
	c.Flags().DurationVar(&o.wait, "wait", 0, "watch at most this long, such as 90s or 2h, then exit with code 4 while the run continues in the background (default: until the run ends)")
}

// runPipeline runs a pipeline with the owner of the state directory, which is this process if there is no other one.
func (a *app) runPipeline(ctx context.Context, o runOptions) error {
	began := time.Now()
	src, err := a.load(o.source)
	if err != nil {
		return err
	}
	input, err := src.input(o.params, o.file)
	if err != nil {
		return err
	}
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	if _, err := src.compile(dir, ""); err != nil { // before a Ray is started
		return err
	}
	if a.endpoint == "" { // a remote server has its own secrets
		if o.secrets, err = src.secretValues(); err != nil {
			return err
		}
	}
	w := newWatcher(a.out, o.follow)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: true, Ray: o.ray}, func(s *session) (err error) {
		if o.name == "" { // named before it starts, so that a repeated start does not start a second run: see over
			o.name = runName(time.Now())
		}
		done, arn := func() error { return nil }, ""
		defer func() { err = errors.Join(err, done()) }()
		// Until the run has started, Ctrl-C cancels the preparations. From then on, it stops the run.
		prepare, prepared := w.untilInterrupted(ctx)
		defer prepared()
		err = s.over(ctx, func() (err error) {
			done, err = s.readyRay(prepare, src, &o, w)
			if prepare.Err() != nil { // done stops a Ray that was started
				w.screen.Printf("interrupted before the run was started")
				return silent(exitInterrupted)
			}
			if err == nil {
				arn, err = s.startRun(ctx, src, o, input, w.screen.Printf)
			}
			return err
		})
		prepared()
		if err != nil {
			return err
		}
		w.screen.Printf("run %s/%s", src.pipeline.Name, nameOf(arn))
		s.sayLeftOut(ctx, arn, w.screen.Printf)
		if o.detach {
			return s.detach(ctx, arn)
		}
		if o.console {
			var site *consoleSite
			if site, err = s.showConsole(ctx, arn, w); err != nil {
				return err
			}
			defer func() {
				w.keepConsole(site, err)
				err = errors.Join(err, site.close())
			}()
		}
		s.offerResume(ctx, began, w)
		return w.watchToEnd(ctx, s, arn, o.wait)
	})
}

// startRun registers the compiled pipeline and starts an execution of the version that it published: a change that another process
// registers in between does not run instead.
func (s *session) startRun(ctx context.Context, src *source, o runOptions, input []byte, say func(string, ...any)) (string, error) {
	out, err := src.compile(s.stateDir(), o.ray.pinned(s))
	if err != nil {
		return "", err
	}
	if err := s.app.placeFiles(ctx, src, out, say); err != nil {
		return "", err
	}
	version, err := s.register(ctx, src.pipeline.Name, src.pipeline.Description, out)
	if err != nil {
		return "", err
	}
	if err := s.client.SendSecrets(ctx, executionARN(version, o.name), o.secrets); err != nil {
		return "", err
	}
	if err := s.nameCode(ctx, executionARN(version, o.name), src.file, out.Dirs); err != nil {
		return "", err
	}
	arn, err := s.client.Start(ctx, "run", version, o.name, string(input))
	if err != nil {
		return "", err
	}
	return arn, s.resume(ctx, arn)
}

// runName generates a name that sorts by time and has milliseconds, so that two runs in the same second have different names.
func runName(now time.Time) string {
	return fmt.Sprintf("%s-%03d", now.UTC().Format("20060102-150405"), now.Nanosecond()/1e6)
}

// offerResume prints the runs that a process left open when it exited. Runs that other commands have started since this command began are
// not interrupted, even if no process drives them yet.
func (s *session) offerResume(ctx context.Context, began time.Time, w *watcher) {
	if s.owner == nil {
		return
	}
	open, err := s.openExecutions(ctx)
	if err != nil {
		return // the watch of the run reports the error
	}
	for _, x := range open {
		if interrupted(x.Driven) && x.Started.Before(began) {
			w.screen.Printf("%s/%s was interrupted; resume it with: rayorch resume %s", x.Pipeline, x.Name, x.Name)
		}
	}
}
