// Command rayorch runs train-then-infer pipelines on Ray.
//
// Each subcommand has a file. This package is the only one that wires the packages below internal together: it translates flags into
// their options, finds or becomes the owner of the state directory (session.go), and prints results.
//
// The files that several commands share, by subject:
//
//   - main.go: the command tree, exit codes, errors; flags.go, help.go, hints.go: help, usage errors, hints
//   - printer.go, text.go: output
//   - session.go: the connection to the owner, or this process as the owner; runners.go: the runners of an owner;
//     secrets.go: the secrets that a command supplies; statedir.go: the state directory
//   - client.go, find.go, machines.go: calls of the API: connecting, finding executions, registering state machines
//   - source.go, params.go, localfiles.go: the pipeline, its target, its input and its files
//   - kubernetes.go, uploads.go, eks.go: targets in a cluster; awsrun.go, awsstack.go: targets on AWS
//   - watcher.go, watch.go, detach.go: watching a run until it ends, and handing it over to a background process
//   - describe.go, runcode.go, runparams.go, pending.go, dashboardlinks.go, cleanupreport.go: what commands show of an execution
//   - accesskey.go, allow.go, signin.go, lease.go: the access and the availability of a server
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/task/proctask"
)

// version is set by the build.
var version = "dev"

// Exit codes, which have the same meaning in all commands; see docs/cli.md.
const (
	exitError       = 1
	exitUsage       = 2
	exitFailed      = 3   // the execution did not succeed
	exitRunning     = 4   // the execution was still running when --wait ended
	exitHangUp      = 129 // as in a shell: 128 plus the number of the signal
	exitInterrupted = 130
)

// app is what all commands share: the standard streams, the files of this machine, and the global flags.
type app struct {
	in    io.Reader
	out   *printer
	files *localFiles

	stateDir   string
	endpoint   string
	aws        awsFlags
	kubeconfig string // for targets in a Kubernetes cluster, and for tasks that use one
}

func main() { os.Exit(realMain()) }

// realMain returns instead of exiting, so that tests can run it as a command.
func realMain() int {
	if len(os.Args) > 1 && os.Args[1] == superviseCommand {
		return proctask.SuperviseMain(os.Args[2:])
	}
	return newApp(os.Stdin, safeOut(os.Stdout), safeOut(os.Stderr)).run(context.Background(), os.Args[1:])
}

// newApp returns an app with the default flags.
func newApp(in io.Reader, stdout, stderr io.Writer) *app {
	out := &printer{stdout: stdout, stderr: stderr, format: "text"}
	return &app{in: in, out: out, files: &localFiles{out: out}}
}

// superviseCommand is the hidden subcommand that runs as the supervisor of a plain job.
const superviseCommand = "__supervise"

// failure is an error with an exit code and a hint. Errors without a code have the exit code exitError.
type failure struct {
	code int
	err  error
	hint string // what to do; may be empty
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail returns an error with an exit code and a hint. If the hint is "", report looks for one that fits the wrapped error.
func fail(code int, hint, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...), hint: hint}
}

// silent ends the command with an exit code and no error message: everything has been printed already.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// run executes the command line, without the name of the program, and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out.stdout)
	root.SetErr(a.out.stderr)
	err := root.ExecuteContext(ctx)
	// A result that could not be printed is an error, even if the command has another exit code than 0 because of the result.
	var quiet silent
	if a.out.failed != nil && (err == nil || errors.As(err, &quiet)) {
		err = a.out.failed
	}
	return a.report(err)
}

// report prints an error with its hint, and returns the exit code.
func (a *app) report(err error) int {
	var quiet silent
	if err == nil {
		return 0
	}
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	code, hint := exitError, ""
	var f *failure
	if errors.As(err, &f) {
		code, hint = f.code, f.hint
	}
	a.out.error(err.Error())
	if hint == "" {
		hint = cmp.Or(a.keyHint(err), hintFor(err))
	}
	a.out.hint(hint)
	return code
}

// root builds the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "rayorch",
		Short: "run train-then-infer pipelines on Ray",
		Long: "rayorch runs pipelines on Ray. Each step is a Ray job or a plain job. A pipeline file is compiled to the Amazon States " +
			"Language, which rayorch runs on this machine or in a Kubernetes cluster, and AWS Step Functions runs on AWS. All commands use " +
			"the Step Functions API.",
		Example:       "  rayorch init demo && rayorch run demo",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(nil),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(usage)
	formatHelp(root)
	f := root.PersistentFlags()
	f.StringVar(&a.stateDir, "state-dir", "", "state directory, which holds the executions (default: $RAYORCH_STATE_DIR, else ~/.local/state/rayorch)")
	f.StringVar(&a.endpoint, "endpoint", "", "URL of a Step Functions API to use instead of a state directory")
	f.BoolVar(&a.aws.on, "aws", false, "use AWS Step Functions with the AWS CLI's credentials")
	f.StringVar(&a.aws.region, "region", "", "AWS region for --aws and --endpoint (default: from the AWS configuration)")
	f.StringVar(&a.aws.profile, "profile", "", "AWS profile for --aws and --endpoint (default: from the AWS configuration)")
	f.StringVar(&a.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
	f.StringVarP(&a.out.format, "output", "o", "text", "output format: text or json")
	f.BoolVarP(&a.out.verbose, "verbose", "v", false, "write a log to stderr")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.checkFlags(c) }
	root.CompletionOptions.HiddenDefaultCmd = false
	for _, add := range commands {
		c := add(a)
		c.Args = usageArgs(c.Args)
		for _, sub := range c.Commands() {
			sub.Args = usageArgs(sub.Args)
		}
		root.AddCommand(c)
	}
	renameDefaults(root)
	return root
}

// commands are the constructors of the subcommands.
var commands = []func(*app) *cobra.Command{
	initCommand, validateCommand, compileCommand, graphCommand, runCommand, resumeCommand, listCommand, describeCommand,
	historyCommand, logsCommand, stopCommand, rayCommand, doctorCommand, schemaCommand, versionCommand, serveCommand,
	consoleCommand, registerCommand, startCommand, redriveCommand, storeCommand, cleanCommand, applyCommand, unapplyCommand,
	dashboardCommand, deployCommand, diffCommand, destroyCommand, driveCmd,
}

// checkFlags checks the global flags before a command runs.
func (a *app) checkFlags(c *cobra.Command) error {
	if a.out.format != "text" && a.out.format != "json" {
		return usage(c, fmt.Errorf("--output must be text or json, got %q", a.out.format))
	}
	if a.aws.on && a.endpoint != "" {
		return usage(c, errors.New("--aws and --endpoint are mutually exclusive"))
	}
	if a.endpoint != "" {
		u, err := url.Parse(a.endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return usage(c, fmt.Errorf("--endpoint must be a URL such as http://127.0.0.1:8080, got %q", a.endpoint))
		}
	}
	return nil
}
