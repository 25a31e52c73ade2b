package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	e2ecommand "github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == superviseCommand { // the supervisor of a plain job that a test started: do not run the tests again
		os.Exit(realMain())
	}
	testscript.Main(m, map[string]func(){"rayorch": func() { os.Exit(realMain()) }})
}

// TestScripts runs the scripts in testdata/script, which specify what the commands print, and their exit codes.
func TestScripts(t *testing.T) {
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("RAYORCH_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("NO_COLOR", "1")
			env.Setenv("TESTDATA", testdata)
			env.Values[fakeRayKey{}] = new(*raytest.Fake)
			// These tests find no Python with Ray. Tests that need a real Ray are in e2e.
			env.Setenv("RAYORCH_PYTHON", "")
			env.Setenv("AWS_CONFIG_FILE", filepath.Join(env.WorkDir, "none"))
			env.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(env.WorkDir, "none"))
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true") // so that no credentials of the machine are found
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"code": exitsWith, "fakeray": fakeRay, "park": park},
	})
}

// fakeRay starts a fake Ray, whose address is $RAY. It runs until the script ends or runs "fakeray stop"; "fakeray renew" replaces it
// with a new session at the same address.
func fakeRay(ts *testscript.TestScript, _ bool, args []string) {
	current := ts.Value(fakeRayKey{}).(**raytest.Fake)
	switch {
	case len(args) == 0:
		fake := raytest.NewFake("")
		ts.Defer(fake.Close)
		ts.Setenv("RAY", fake.URL)
		*current = fake
	case args[0] == "stop":
		(*current).Close()
	case args[0] == "renew":
		(*current).NewSession()
	default:
		ts.Fatalf("usage: fakeray [stop|renew]")
	}
}

// park records that two processes died during a step of an execution: park PIPELINE NAME.
func park(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(e2ecommand.Park(ts.Getenv("RAYORCH_STATE_DIR"), "arn:aws:states:us-east-1:123456789012:execution:"+args[0]+":"+args[1]))
}

type fakeRayKey struct{}

// exitsWith runs a command and checks its exit code, as in: code 2 rayorch list --bogus.
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := err.(*exec.ExitError) //nolint:errorlint // testscript returns it unwrapped
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
