// Package kubernetes_test measures the time between the jobs of a train-then-infer pipeline on a real Kubernetes, in each submission
// mode and with the published module: make bench-kubernetes. README.md explains the figures.
package kubernetes_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// trainSeconds is how long the training job sleeps.
const trainSeconds = 20

func TestMain(m *testing.M) {
	code := m.Run()
	command.Clean()
	os.Exit(code)
}

// bench is a namespace with a Ray, and the times of its objects.
type bench struct {
	*command.Sandbox
	c         *clustertest.Cluster
	namespace string
	claim     clustertest.Claim
	ray       *clustertest.RayCluster
	stages    *stages
}

// TestHandOver measures all submission modes and the published module, and logs the results as a table.
func TestHandOver(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("RAYORCH_BENCH_ROUNDS"))
	if rounds == 0 {
		t.Skip("takes minutes: run make bench-kubernetes")
	}
	b := newBench(t)
	b.pipeline(t, trainSeconds)
	var lines, where []string
	wanted := strings.Fields(cmp.Or(os.Getenv("RAYORCH_BENCH_SUBMIT"), "job proxy rayjob published"))
	for _, mode := range wanted {
		if mode == "published" {
			f, o := b.published(t)
			lines = append(lines, row(mode, []time.Duration{f}, []time.Duration{o}))
			continue
		}
		var first, over []time.Duration
		var between []parts
		for n := range rounds {
			f, o, p := b.round(t, mode, fmt.Sprintf("%s-%d", mode, n))
			first, over, between = append(first, f), append(over, o), append(between, p)
		}
		lines, where = append(lines, row(mode, first, over)), append(where, partsRow(mode, between))
	}
	t.Logf("\n| submission mode | rounds | start to first line, s: median (most) | training's end to inference's acceptance, s: median (most) |\n|---|---|---|---|\n%s\n\n%s",
		strings.Join(lines, "\n"), strings.Join(where, "\n"))
}

func row(mode string, first, over []time.Duration) string {
	return fmt.Sprintf("| %s | %d | %s | %s |", mode, len(first), spread(first), spread(over))
}

// spread returns "median (maximum)", in seconds.
func spread(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("%.1f (%.1f)", d[len(d)/2].Seconds(), d[len(d)-1].Seconds())
}

// newBench creates a namespace with a Ray, and runs a job on it, so that the first measurement is not slower than the others.
func newBench(t *testing.T) *bench {
	c := clustertest.Start(t)
	if !c.Local {
		t.Skip("SKIPPED: the cluster must run on this machine, so that the clocks are the same")
	}
	b := &bench{Sandbox: command.New(t, nil), c: c, namespace: c.Namespace(t)}
	b.Env = append(b.Env, "KUBECONFIG="+c.Kubeconfig)
	b.claim = c.Claim(t, b.namespace)
	b.ray = c.RayCluster(t, b.namespace, clustertest.RayOptions{Name: "ray", Claim: b.claim.Name, NoWorker: true})
	b.stages = watchStages(t, c, b.namespace)
	b.oneSecond(t, "HTTPMode", "warm-up") // a new head responds some seconds before it accepts a job
	return b
}

// pipeline writes a pipeline file with two steps. The first sleeps for the given number of seconds.
func (b *bench) pipeline(t *testing.T, seconds int) {
	b.Write(t, "pipeline.yaml", fmt.Sprintf(`version: 1
name: handover
storage: {path: /data, claim: %s}
targets:
  kubernetes: {kind: kubernetes, namespace: %s, image: %q, ray: {cluster: ray}}
steps:
  - name: train
    ray: {entrypoint: 'date +%%s.%%N > "$RAYORCH_STORAGE/first"; sleep %d'}
  - name: infer
    ray: {entrypoint: 'true'}
`, b.claim.Name, b.namespace, b.c.RayImage(t), seconds))
}

// round runs the pipeline once. It returns the time to the first line of the driver, the time from the first job to the second, and the
// parts of the latter.
func (b *bench) round(t *testing.T, mode, name string) (first, over time.Duration, between parts) {
	t.Helper()
	res := b.Run(t.Context(), t, "run", "-t", "kubernetes", "--submit", mode, "--name", name, "-o", "json")
	var x struct {
		Started time.Time
		Steps   []struct{ SubmissionID string }
	}
	if res.Code != 0 || json.Unmarshal([]byte(res.Stdout), &x) != nil || len(x.Steps) != 2 {
		t.Fatalf("%s: exit code %d\n%s%s", name, res.Code, res.Stdout, res.Stderr)
	}
	first = b.stamp(t, filepath.Join("handover", name, "first")).Sub(x.Started)
	from, to := x.Steps[0].SubmissionID, x.Steps[1].SubmissionID
	over = b.job(t, to).start().Sub(b.job(t, from).end())
	between = b.between(t, mode, from, to)
	t.Logf("%s: first line after %.2f s, hand-over %.2f s: %s", name, first.Seconds(), over.Seconds(), partsRow(mode, []parts{between}))
	return first, over, between
}

// stamp reads the time that a driver wrote to the claim.
func (b *bench) stamp(t *testing.T, path string) time.Time {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.claim.Dir, path))
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(int64(seconds * 1000))
}

// rayJob is Ray's own record of a job, with times in milliseconds since 1970. The start is the time when Ray accepted the submission.
type rayJob struct {
	Start int64 `json:"start_time"`
	End   int64 `json:"end_time"`
}

func (j rayJob) start() time.Time { return time.UnixMilli(j.Start) }
func (j rayJob) end() time.Time   { return time.UnixMilli(j.End) }

// job returns Ray's record of a job.
func (b *bench) job(t *testing.T, id string) rayJob {
	t.Helper()
	res, err := b.c.Do(clustertest.Context(t), kube.Request{Path: b.ray.API + "api/jobs/" + id})
	var j rayJob
	if err == nil {
		err = json.Unmarshal(res.Body, &j)
	}
	if err != nil {
		t.Fatal(err)
	}
	return j
}
