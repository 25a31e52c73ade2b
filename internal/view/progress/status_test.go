package progress_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/progress/progresstest"
)

// TestStatuses compares the statuses in histories of compiled pipelines, which the interpreter produces, for this machine and for a cluster.
func TestStatuses(t *testing.T) {
	for name, story := range progresstest.Stories {
		for _, target := range progresstest.Targets {
			t.Run(name+"/"+target, func(t *testing.T) {
				definition, parts := story.Play(t, target)
				v := progress.New(progress.ReadStates(definition))
				var got []string
				for i, part := range parts {
					if i > 0 {
						got = append(got, "then")
					}
					for j := range part {
						v.Add(&part[j].HistoryEvent)
					}
					got = append(got, shown(v)...)
				}
				if diff := cmp.Diff(story.Want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestRedrivenStatuses redrives the run of each story. If the run then succeeds, the steps that had failed or were cancelled have
// succeeded, as a second entry if their cleanup had run. Tolerated failures do not run again.
func TestRedrivenStatuses(t *testing.T) {
	for name, story := range progresstest.Stories {
		for _, target := range progresstest.Targets {
			t.Run(name+"/"+target, func(t *testing.T) {
				redriven := story.Redriven()
				definition, parts := redriven.Play(t, target)
				annotations := progress.ReadStates(definition)
				v := progress.New(annotations)
				for _, part := range parts {
					for j := range part {
						v.Add(&part[j].HistoryEvent)
					}
				}
				newest := map[string]*progress.Entry{}
				for _, s := range v.Steps() {
					newest[s.Name] = s
				}
				for _, s := range newest {
					done := s.Status == progress.Succeeded || s.Status == progress.Skipped || s.Tolerated || annotations[s.State].Scope == annotation.OnFailure
					if !done && v.Status == types.ExecutionStatusSucceeded && name != "tolerated, a whole group" {
						t.Errorf("run %s: %v", v.Status, shown(v))
						break
					}
				}
			})
		}
	}
}

// shown returns the steps with their statuses.
func shown(v *progress.View) []string {
	var out []string
	for _, s := range v.Steps() {
		line := s.Name + " " + s.Word()
		if s.Status.Ended() == s.Ended.IsZero() {
			line += ", but its end time does not match"
		}
		out = append(out, line)
	}
	return out
}
