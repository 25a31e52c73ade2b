package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

type runOptions struct {
	source  sourceOptions
	ray     rayOptions
	params  []string
	file    string
	name    string
	follow  bool
	detach  bool
	secrets map[string]string // values by environment variable
	wait    time.Duration
	keepRay bool
	console bool
	// stackName is of what deploy made, where the target is of kind aws.
	stackName string
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run [PIPELINE]",
		Short: "run a pipeline and watch it to its end",
		Long: "run starts a pipeline (a file, or a directory with a pipeline.yaml; this directory by default) and shows its\n" +
			"steps until it ends. Ctrl-C stops the run with its jobs. A closed terminal does not: as with --detach and at the end\n" +
			"of --wait, a background process drives the run to its end. After a kill, rayorch resume resumes the run.\n\n" +
			"The run uses, in this order of precedence, the Ray at --ray-address, RAY_API_SERVER_ADDRESS or RAY_ADDRESS, one\n" +
			"that you started on this machine, or one that rayorch starts for the run and stops after it. rayorch does not use\n" +
			"a Ray on this machine that does not accept your token or that belongs to another state directory. A run keeps its\n" +
			"Ray: when that Ray is lost, rayorch starts one of its own.\n\n" +
			"With a target of kind aws, or --aws, it starts what rayorch deploy made there, and watches that.\n\n" +
			"Exit codes: 0 succeeded, 1 error, 2 usage, 3 the run failed, 4 still running when --wait ended, 129 terminal\n" +
			"closed, 130 interrupted.",
		Example: "  rayorch run examples/shakespeare --param steps=100",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.path = first(args)
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
	f.StringArrayVarP(&o.params, "param", "p", nil, "a parameter, NAME=VALUE; may be repeated")
	f.StringVar(&o.file, "params-file", "", "a JSON or YAML file of parameters; --param goes before it")
	f.StringVar(&o.name, "name", "", "the run's name (default made from the time)")
	f.BoolVarP(&o.detach, "detach", "d", false, "start the run, print its ARN and exit; a background process drives the run to its end")
	f.BoolVar(&o.console, "console", false, "serve the web console on this machine until the run ends (on a terminal: until Ctrl-C), and print its address")
	f.StringVar(&o.stackName, "stack-name", "", "the deployed stack's name (aws; default as deploy has it)")
	f.BoolVar(&o.keepRay, "keep-ray", false, "leave a Ray that was started for this run running")
	return c
}

// watchFlags are the flags of the commands that watch a run to its end.
func (o *runOptions) watchFlags(c *cobra.Command) {
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "print every line that the jobs print, with the step before it")
	c.Flags().DurationVar(&o.wait, "wait", 0, "watch at most this long, then exit with 4; the run continues in the background (default: until it ends)")
}

func (a *app) runPipeline(ctx context.Context, o runOptions) error {
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
	if a.endpoint == "" { // a server at another endpoint has its own
		if o.secrets, err = src.secretValues(); err != nil {
			return err
		}
	}
	w := a.newWatcher(o.follow)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: true, Ray: o.ray}, func(s *session) (err error) {
		if o.name == "" {
			o.name = runName(time.Now())
		}
		done, arn := func() error { return nil }, ""
		defer func() { err = errors.Join(err, done()) }()
		prepare, prepared := w.untilInterrupted(ctx)
		defer prepared()
		err = s.over(ctx, func() (err error) {
			done, err = a.readyRay(prepare, s, src, &o, w)
			if prepare.Err() != nil { // whatever became of the Ray: done stops one that was started
				w.screen.Say("interrupted before the run was started")
				return silent(exitInterrupted)
			}
			if err == nil {
				arn, err = s.startRun(ctx, src, o, input, w.screen.Say)
			}
			return err
		})
		prepared()
		if err != nil {
			return err
		}
		w.screen.Say("run %s/%s", src.pipeline.Name, nameOf(arn))
		s.sayLeftOut(ctx, arn, w.screen.Say)
		if o.detach {
			return a.detach(ctx, s, arn)
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
		s.offerResume(ctx, arn, w)
		return a.watchToEnd(ctx, s, arn, w, o.wait)
	})
}

// startRun registers what the pipeline compiles to and starts it. The start names the version that was published, so
// that somebody else's change of the same pipeline in between does not run instead.
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
	if err := s.client.GiveSecrets(ctx, executionARN(version, o.name), o.secrets); err != nil {
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

// runName is readable, sorts by time, and two runs of one second differ.
func runName(now time.Time) string {
	return fmt.Sprintf("%s-%03d", now.UTC().Format("20060102-150405"), now.Nanosecond()/1e6)
}

// offerResume tells of runs that were left open by a process that is gone.
func (s *session) offerResume(ctx context.Context, self string, w *watcher) {
	if s.owner == nil {
		return
	}
	open, err := s.openExecutions(ctx)
	if err != nil {
		return // it is only an offer; the run itself will meet what is wrong
	}
	for _, x := range open {
		if x.ARN != self {
			w.screen.Say("%s/%s was interrupted; resume it with: rayorch resume %s", x.Pipeline, x.Name, x.Name)
		}
	}
}
