package kubernetes_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// stages records when the objects of a namespace first reached a stage, with this machine's clock. The timestamps of Kubernetes have a
// resolution of one second, which is too coarse to measure the time between two stages.
type stages struct {
	mu   sync.Mutex
	seen map[string]time.Time // by "STAGE NAME", with the name of the Job or RayJob
}

// watchStages watches the namespace until the test ends.
func watchStages(t *testing.T, c *clustertest.Cluster, namespace string) *stages {
	t.Helper()
	s := &stages{seen: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for path, note := range map[string]func(kube.Object){
		kube.JobsPath(namespace):                               s.job,
		kube.CollectionPath("v1", namespace, "pods"):           s.pod,
		kube.CollectionPath("ray.io/v1", namespace, "rayjobs"): s.rayJob,
	} {
		stream, err := c.Stream(ctx, kube.Request{Path: path, Query: url.Values{"watch": {"true"}, "timeoutSeconds": {"3500"}}})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer stream.Close()
			lines := bufio.NewScanner(stream)
			for lines.Buffer(nil, 16<<20); lines.Scan(); {
				var event struct{ Object kube.Object }
				if json.Unmarshal(lines.Bytes(), &event) == nil {
					note(event.Object)
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return s
}

// note records the time of a stage when it first holds.
func (s *stages) note(what, name string, holds bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[what+" "+name]; holds && !ok {
		s.seen[what+" "+name] = time.Now()
	}
}

// at waits for a stage and returns its time.
func (s *stages) at(t *testing.T, what, name string) time.Time {
	t.Helper()
	var at time.Time
	clustertest.Until(clustertest.Context(t), t, what+" of "+name, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if at = s.seen[what+" "+name]; at.IsZero() {
			return clustertest.ErrNotYet
		}
		return nil
	})
	return at
}

func (s *stages) job(o kube.Object) {
	s.note("Job created", kube.Name(o), true)
}

func (s *stages) pod(o kube.Object) {
	job, _ := kube.Field(o, "metadata", "labels", "job-name").(string)
	s.note("pod created", job, true)
	s.note("pod on a node", job, kube.Field(o, "spec", "nodeName") != nil)
	list, _ := kube.Field(o, "status", "containerStatuses").([]any)
	for _, item := range list {
		status, _ := item.(map[string]any)
		s.note("pod ended", job, kube.Field(status, "state", "terminated") != nil)
	}
}

func (s *stages) rayJob(o kube.Object) {
	s.note("RayJob created", kube.Name(o), true)
	s.note("RayJob succeeded", kube.Name(o), kube.Field(o, "status", "jobStatus") == "SUCCEEDED")
	s.note("RayJob complete", kube.Name(o), kube.Field(o, "status", "jobDeploymentStatus") == "Complete")
}

// between returns the parts of a hand-over from one job to the next, in order. A part is named after the event with which it ends.
func (b *bench) between(t *testing.T, mode, from, to string) parts {
	t.Helper()
	p := parts{at: b.job(t, from).end()}
	switch mode {
	case "job":
		p.add("the submitter's end", b.stages.at(t, "pod ended", from))
		p.add("the next Job", b.stages.at(t, "Job created", to))
		p.add("its pod", b.stages.at(t, "pod created", to))
		p.add("a node", b.stages.at(t, "pod on a node", to))
	case "rayjob":
		p.add("KubeRay's SUCCEEDED", b.stages.at(t, "RayJob succeeded", from))
		p.add("the next RayJob", b.stages.at(t, "RayJob created", to))
	}
	p.add("Ray's acceptance", b.job(t, to).start())
	return p
}

// parts are consecutive durations with their names; at is the end of the last one.
type parts struct {
	at    time.Time
	names []string
	took  []time.Duration
}

func (p *parts) add(name string, at time.Time) {
	p.names, p.took, p.at = append(p.names, name), append(p.took, at.Sub(p.at)), at
}

// partsRow returns a line with the median of each part over all rounds of a submission mode.
func partsRow(mode string, rounds []parts) string {
	var texts []string
	for i, name := range rounds[0].names {
		var all []time.Duration
		for _, r := range rounds {
			all = append(all, r.took[i])
		}
		slices.Sort(all)
		texts = append(texts, fmt.Sprintf("%s %.2f", name, all[len(all)/2].Seconds()))
	}
	return fmt.Sprintf("%s, from Ray's end of the first job on, s (median): to %s", mode, strings.Join(texts, ", to "))
}
