package kubernetes_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// TestSubmissionModes measures KubeRay alone, with RayJobs of one second on a running Ray, in HTTPMode and in K8sJobMode. It also
// measures the time that rayorch's definition adds between two such jobs.
func TestSubmissionModes(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("RAYORCH_BENCH_MODES"))
	if rounds == 0 {
		t.Skip("takes minutes: run make bench-submission-modes")
	}
	b := newBench(t)
	var lines []string
	for _, mode := range []string{"HTTPMode", "K8sJobMode"} {
		var all [5][]time.Duration
		for n := range rounds {
			for i, d := range b.oneSecond(t, mode, fmt.Sprintf("%s-%d", strings.ToLower(mode), n)) {
				all[i] = append(all[i], d)
			}
		}
		line := fmt.Sprintf("| %s | %d |", mode, rounds)
		for _, d := range all {
			line += " " + spread(d) + " |"
		}
		lines = append(lines, line)
	}
	b.pipeline(t, 1)
	var between []parts
	for n := range rounds {
		_, _, p := b.round(t, "rayjob", fmt.Sprintf("ours-%d", n))
		between = append(between, p)
	}
	t.Logf("\n| KubeRay alone, a job of 1 s | rounds | creation to Ray's acceptance | Ray's end to SUCCEEDED | creation to SUCCEEDED | creation to Complete | KubeRay's startTime to endTime |\n"+
		"|---|---|---|---|---|---|---|\n%s\n(s: median (most))\n\n%s", strings.Join(lines, "\n"), partsRow("rayjob", between))
}

// oneSecond creates a RayJob of one second and measures five durations: from its creation to Ray's acceptance, from the end of the Ray
// job to jobStatus SUCCEEDED, from the creation to jobStatus SUCCEEDED, from the creation to jobDeploymentStatus Complete, and from
// KubeRay's startTime to its endTime, which are full seconds.
func (b *bench) oneSecond(t *testing.T, mode, name string) [5]time.Duration {
	t.Helper()
	job := clustertest.Object("ray.io/v1", "RayJob", b.namespace, name, kube.Object{"spec": map[string]any{
		"entrypoint": "sleep 1", "jobId": name, "submissionMode": mode, "clusterSelector": map[string]any{"ray.io/cluster": b.ray.Name},
	}})
	created := time.Now()
	b.c.Apply(t, job)
	complete, succeeded := b.stages.at(t, "RayJob complete", name), b.stages.at(t, "RayJob succeeded", name)
	o, err := b.c.Get(clustertest.Context(t), job)
	if err != nil {
		t.Fatal(err)
	}
	ray := b.job(t, name)
	took := [5]time.Duration{ray.start().Sub(created), succeeded.Sub(ray.end()), succeeded.Sub(created), complete.Sub(created),
		status(t, o, "endTime").Sub(status(t, o, "startTime"))}
	t.Logf("%s: %.2f s", name, seconds(took[:]))
	if err := b.c.Remove(clustertest.Context(t), kube.ObjectPath("ray.io/v1", b.namespace, "rayjobs", name), ""); err != nil {
		t.Fatal(err)
	}
	return took
}

func seconds(took []time.Duration) []float64 {
	var out []float64
	for _, d := range took {
		out = append(out, d.Seconds())
	}
	return out
}

func status(t *testing.T, o kube.Object, field string) time.Time {
	t.Helper()
	text, _ := kube.Field(o, "status", field).(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatalf("status.%s of the RayJob is not a time: %v", field, err)
	}
	return at
}
