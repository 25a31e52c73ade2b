package run_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// TestLogAfterKill kills the owner several times while a step prints, and resumes the run. The stored log must contain each line once.
func TestLogAfterKill(t *testing.T) {
	for name, step := range map[string]string{
		"plain":   "job: {shell: 'JOB'}",
		"secrets": "job: {shell: 'JOB', secrets: [KEY]}",
		"ray":     "ray: {entrypoint: 'JOB'}",
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newSandbox(t)
			p.Env = append(p.Env, "MY_KEY=correct-horse")
			enough := filepath.Join(t.TempDir(), "enough")
			p.Write(t, "pipeline.yaml", strings.Replace(`version: 1
name: printer
secrets: {KEY: {env: MY_KEY}}
steps:
  - name: print
    `+step+"\n", "JOB", `i=0; until [ -e `+enough+` ]; do i=$((i+1)); echo "line $i"; sleep 0.001; done; echo "$i" >$RAYORCH_OUTPUT`, 1))
			lines := 0
			for kills := range 4 {
				args := []string{"resume", "one"}
				if kills == 0 {
					args = []string{"run", "--name", "one"}
				}
				cmd, wait := p.Start(t, args...)
				raytest.Eventually(t, "the log has 20 more lines", func() error {
					res := p.Run(t.Context(), t, "logs", "one", "--step", "print")
					if n := strings.Count(res.Stdout, "\n"); n < lines+20 {
						return fmt.Errorf("the log has %d lines, %d before: %s", n, lines, res.Stderr)
					}
					lines = strings.Count(res.Stdout, "\n")
					return nil
				})
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				wait()
			}
			if err := os.WriteFile(enough, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if res := p.Run(t.Context(), t, "resume", "one"); res.Code != 0 {
				t.Fatalf("resume: got %+v, want exit code 0", res)
			}
			got := strings.Split(strings.TrimSpace(p.Run(t.Context(), t, "logs", "one", "--step", "print").Stdout), "\n")
			for i, line := range got {
				if want := fmt.Sprint("line ", i+1); line != want {
					t.Fatalf("line %d of the log is %q, want %q", i+1, line, want)
				}
			}
			sum := read(t, p.Run(t.Context(), t, "describe", "one", "-o", "json"))
			if n := string(sum.Output["print"]); n != fmt.Sprint(len(got)) {
				t.Errorf("the log has %d lines, the job printed %s", len(got), n)
			}
		})
	}
}
