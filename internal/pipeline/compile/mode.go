package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// mode compiles submissions of a kind: Ray tasks and processes on this machine, and the submission modes of a cluster. A mode is
// stateless. The compiler calls check for all jobs of the file before it calls state.
type mode interface {
	// state returns the state that runs a submission to its end, with all attempts. Its result contains the job's output.
	state(s *submission) *value.Object
	// cleanUp adds the states that stop the work of an execution. They lead to next. It returns the name of the first state.
	cleanUp(states *value.Object, next string) string
	// check reports fields that the mode does not support, and adds notes about fields that it ignores.
	check(w wanted)
}

// wanted is a job in the file that is not yet resolved to a submission. This way, fields are checked before directories are packed and
// files are read.
type wanted struct {
	body
	step    *pipeline.Step
	of      string // the job's name in messages: "step infer"
	path    string // of the step or its onFailure
	cleanup bool   // the job is the step's onFailure
}

// modeOf returns the mode that runs submissions of a kind.
func (c *compiler) modeOf(kind string) mode {
	switch {
	case c.at == nil && kind == kindRay:
		return rayTasks{c}
	case c.at == nil:
		return processes{c}
	case kind == kindJob:
		return jobMode{c}
	}
	switch c.at.mode {
	case pipeline.SubmitJob:
		return jobMode{c}
	case pipeline.SubmitProxy:
		return proxyMode{c}
	case pipeline.SubmitRayJob:
		return rayJobMode{c}
	}
	panic(fmt.Sprintf("compile: submission mode %q", c.at.mode)) // checkTarget has reported it
}

// modes returns the modes that the pipeline uses: first that of Ray jobs, then that of plain jobs.
func (c *compiler) modes() []mode {
	var out []mode
	if c.ray {
		out = append(out, c.modeOf(kindRay))
	}
	if plain := c.job || c.at != nil && c.at.placing; plain && !(c.ray && c.at != nil && c.at.mode == pipeline.SubmitJob) {
		out = append(out, c.modeOf(kindJob))
	}
	return out
}

// eachBody calls visit for the jobs of all steps and of their onFailure, at any depth.
func (c *compiler) eachBody(visit func(w wanted)) {
	eachStep(c.p.Steps, "steps", func(s *pipeline.Step, path string) {
		if b := (body{s.Ray, s.Job}); b.kind() != "" {
			visit(wanted{b, s, "step " + s.Name, path, false})
		}
		if f := s.OnFailure; f != nil {
			visit(wanted{body{f.Ray, f.Job}, s, "onFailure of step " + s.Name, path + ".onFailure", true})
		}
	})
}

// eachStep calls visit for all steps, at any depth.
func eachStep(steps []pipeline.Step, path string, visit func(s *pipeline.Step, path string)) {
	for i := range steps {
		s, at := &steps[i], fmt.Sprintf("%s[%d]", path, i)
		visit(s, at)
		eachStep(s.Children(), at+"."+s.Kind()+".steps", visit)
	}
}

// kind returns kindRay or kindJob, or "" for a parallel or forEach step.
func (b body) kind() string {
	switch {
	case b.ray != nil:
		return kindRay
	case b.job != nil:
		return kindJob
	}
	return ""
}

// checkBody calls check of the job's mode.
func (c *compiler) checkBody(w wanted) { c.modeOf(w.kind()).check(w) }
