// Command rayorch runs train-then-infer pipelines on Ray. One file holds one
// subcommand; the wiring of the packages under internal is done here and nowhere else.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// version is set by the build.
var version = "dev"

// Exit codes, the same in every command.
const (
	exitError       = 1
	exitUsage       = 2
	exitFailed      = 3
	exitRunning     = 4
	exitHangUp      = 129 // 128 and the signal's number, as shells have it
	exitInterrupted = 130
)

// app is what every command shares: the outside world, and the settings that stand before the subcommand.
type app struct {
	in       io.Reader
	out, err io.Writer

	stateDir string
	endpoint string
	aws      bool
	region   string
	profile  string
	// kubeconfig is for targets in a cluster, and for tasks that speak to one.
	kubeconfig string
	output     string
	verbose    bool
	// told are the directories whose key files were reported: run compiles twice.
	told []string
}

func main() { os.Exit(realMain()) }

func realMain() int {
	if len(os.Args) > 1 && os.Args[1] == superviseCommand {
		return proctask.SuperviseMain(os.Args[2:])
	}
	a := &app{in: os.Stdin, out: safeOut(os.Stdout), err: safeOut(os.Stderr)}
	return a.run(context.Background(), os.Args[1:])
}

// superviseCommand is the hidden subcommand that runs as the supervisor of a plain job.
const superviseCommand = "__supervise"

// failure is an error with an exit code and, where one helps, a hint.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, hint, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...), hint: hint}
}

// silent ends the command with a code when everything was said already.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return a.report(root.ExecuteContext(ctx))
}

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
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(a.err, "rayorch: error: %s\n", terminal.Clean(line))
	}
	if hint == "" {
		hint = cmp.Or(a.keyHint(err), hintFor(err))
	}
	a.hint(hint)
	return code
}

// hint prints what to do about an error.
func (a *app) hint(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(a.err, "rayorch: hint: %s\n", terminal.Clean(line))
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "rayorch",
		Short: "run train-then-infer pipelines on Ray",
		Long: "rayorch runs pipelines on Ray: each step is a Ray job or a plain job, the state machine between them is the\n" +
			"Amazon States Language, and everything speaks the Step Functions API.",
		Example:       "  rayorch init demo && rayorch run demo",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(usage)
	groupFlags(root)
	f := root.PersistentFlags()
	f.StringVar(&a.stateDir, "state-dir", "", "directory of executions and their histories (default $RAYORCH_STATE_DIR, else ~/.local/state/rayorch)")
	f.StringVar(&a.endpoint, "endpoint", "", "URL of a Step Functions API to use instead of the state directory")
	f.BoolVar(&a.aws, "aws", false, "use AWS Step Functions, with the AWS CLI's credentials")
	f.StringVar(&a.region, "region", "", "AWS region for --aws and --endpoint (default from the AWS configuration)")
	f.StringVar(&a.profile, "profile", "", "AWS profile for --aws and --endpoint")
	f.StringVar(&a.kubeconfig, "kubeconfig", "", "file with the contexts of Kubernetes clusters (default $KUBECONFIG, else ~/.kube/config)")
	f.StringVarP(&a.output, "output", "o", "text", "form of the results: text or json")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log what rayorch does to stderr")
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
	return root
}

// commands are the subcommands; each one's file adds itself here by name.
var commands = []func(*app) *cobra.Command{
	(*app).initCommand, (*app).validateCommand, (*app).compileCommand, (*app).graphCommand, (*app).runCommand,
	(*app).resumeCommand, (*app).listCommand, (*app).describeCommand, (*app).historyCommand, (*app).logsCommand,
	(*app).stopCommand, (*app).rayCommand, (*app).doctorCommand, (*app).schemaCommand, (*app).versionCommand,
	(*app).serveCommand, (*app).consoleCommand, (*app).registerCommand, (*app).startCommand, (*app).redriveCommand, (*app).storeCommand, (*app).cleanCommand,
	(*app).applyCommand, (*app).unapplyCommand, (*app).dashboardCommand,
	(*app).deployCommand, (*app).diffCommand, (*app).destroyCommand, (*app).driveCmd,
}

func (a *app) checkFlags(c *cobra.Command) error {
	if a.output != "text" && a.output != "json" {
		return usage(c, fmt.Errorf("--output must be text or json, not %q", a.output))
	}
	if a.aws && a.endpoint != "" {
		return usage(c, errors.New("--aws and --endpoint exclude each other"))
	}
	return nil
}

func (a *app) json() bool { return a.output == "json" }

// safeOut keeps what jobs print, and names and errors from elsewhere, from repainting a terminal. A file or a pipe gets every byte.
func safeOut(f *os.File) io.Writer {
	if !term.IsTerminal(int(f.Fd())) {
		return f
	}
	return terminal.NewSafe(f)
}

// terminalOf says whether a stream is a terminal that takes escape sequences.
func terminalOf(w any) (*os.File, bool) {
	if s, ok := w.(*terminal.Safe); ok {
		w = s.Unwrap()
	}
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
