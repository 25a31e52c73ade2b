package run_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// TestLogAfterKill kills the owner while a step prints, more than once, and resumes the run: the kept log has each line once.
func TestLogAfterKill(t *testing.T) {
	for name, step := range map[string]string{
		"plain":   "job: {shell: 'JOB'}",
		"secrets": "job: {shell: 'JOB', secrets: [KEY]}",
		"ray":     "ray: {entrypoint: 'JOB'}",
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := place(t)
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
				raytest.Eventually(t, "there are more lines", func() error {
					res := p.Run(t.Context(), t, "logs", "one", "--step", "print")
					if n := strings.Count(res.Stdout, "\n"); n < lines+20 {
						return fmt.Errorf("%d lines after %d: %s", n, lines, res.Stderr)
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
				t.Fatalf("%+v", res)
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
