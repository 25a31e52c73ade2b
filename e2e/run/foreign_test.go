package run_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// TestRaysOfOtherStateDirectories runs a pipeline while two Rays run that belong to other state directories, one of them without a token.
// The run must start its own Ray, and start another one when that is lost.
func TestRaysOfOtherStateDirectories(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Ray")
	}
	foreign := map[string]ray.Found{"with a token": raytest.Real(t, true), "without a token": raytest.Real(t, false)}
	p := command.New(t, nil)
	python, err := raytest.Python(t).Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Env = append(p.Env, "RAYORCH_PYTHON="+python.Path)
	t.Cleanup(func() { p.Run(context.Background(), t, "ray", "stop") })
	dir := t.TempDir()
	begun := filepath.Join(dir, "begun")
	p.Write(t, "pipeline.yaml", `version: 1
name: own-ray
steps:
  - name: one
    ray: {entrypoint: 'touch `+begun+`; [ $RAYORCH_ATTEMPT = 2 ] || sleep 3600'}
    retry: {attempts: 2, interval: 1s, errors: [Ray.HeadLost]}
`)
	cmd, wait := p.Start(t, "run", "--name", "one")
	raytest.Eventually(t, "the job runs", func() error {
		if err := raytest.Exists(begun)(); err != nil {
			return fmt.Errorf("%w: %s", err, command.Stderr(cmd))
		}
		return nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait()
	if res := p.Run(t.Context(), t, "ray", "stop"); res.Code != 0 || !strings.Contains(res.Stdout, "stopped Ray at ") {
		t.Fatalf("ray stop: got %+v, want that it stopped the Ray of the run", res)
	}
	res := p.Run(t.Context(), t, "resume", "one", "-o", "json")
	if sum := read(t, res); res.Code != 0 || sum.Steps[0].SubmissionID == "" || sum.Steps[0].Dashboard != "" {
		t.Errorf("resume: got %+v, want a submission id and no link to a Ray that is stopped at the end", res)
	}
	for what, found := range foreign {
		jobs, err := raytest.Ray{Found: found}.Client(t).List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range jobs {
			if strings.HasSuffix(job.Metadata["rayorch.execution"], ":own-ray:one") {
				t.Errorf("the other Ray %s got the job %s", what, job.SubmissionID)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(p.State, "ray", "head.json")); !os.IsNotExist(err) {
		t.Errorf("the run's ray was not stopped: %v", err)
	}
	p.Env = append(p.Env, "RAY_ADDRESS="+foreign["with a token"].Address)
	if res := p.Run(t.Context(), t, "run", "--name", "named"); res.Code != 1 || !strings.Contains(res.Stderr, "RAY_AUTH_TOKEN") {
		t.Errorf("with a named ray that does not accept the token: got %+v, want exit code 1 and RAY_AUTH_TOKEN in the error", res)
	}
}
