package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// sourceOptions select a pipeline file and one of its targets.
type sourceOptions struct {
	path    string // a file or a directory; "" is the current directory
	target  string // "" selects the default: see targetName
	storage string // --storage; may be relative to the current directory
	kube    kubeOptions
}

func (o *sourceOptions) flags(c *cobra.Command) {
	c.Flags().StringVarP(&o.target, "target", "t", "", "target of the pipeline (default: the only one of kind local, else the only one)")
	o.kube.flags(c)
	c.Flags().StringVar(&o.storage, "storage", "", "storage directory of the pipeline (default: the target's, else the directory storage in the state directory)")
}

// source is a pipeline file that was read and checked.
type source struct {
	sourceOptions
	app      *app
	file     string // absolute
	pipeline *pipeline.Pipeline
	// compiled is kept for a target in a cluster, so that directories are packed only once: the result does not depend on the state directory.
	compiled *compile.Result
}

const pipelineFile = "pipeline.yaml"

// load reads and checks a pipeline file. A directory selects the pipeline.yaml in it; the default is the current directory.
func (a *app) load(o sourceOptions) (*source, error) {
	path := o.path
	if path == "" {
		path = "."
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, pipelineFile)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(exitError, "to create a pipeline: rayorch init DIRECTORY", "pipeline file %s not found", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the pipeline file: %w", err)
	}
	p, err := pipeline.Decode(path, data)
	if err != nil {
		return nil, err
	}
	file, err := filepath.Abs(path)
	return &source{sourceOptions: o, app: a, file: file, pipeline: p}, err
}

// compile compiles the pipeline for the selected target.
func (s *source) compile(stateDir, rayAddress string) (*compile.Result, error) {
	target, err := s.targetName()
	if err != nil {
		return nil, err
	}
	storage, err := s.storageDir(target, stateDir)
	if err != nil {
		return nil, err
	}
	o := compile.Options{Target: target, BaseDir: filepath.Dir(s.file), StorageDir: storage, RayAddress: rayAddress, Files: s.app.files}
	t, ok := s.pipeline.Targets.Get(target)
	if !ok || t.Kind == kindLocal {
		if flag := s.kube.first(); flag != "" {
			return nil, fail(exitUsage, "name a target of kind kubernetes with --target, or remove "+flag,
				"%s does not apply to the target %s, which is of kind local", flag, cmp.Or(target, string(kindLocal)))
		}
		return compile.Compile(s.pipeline, o)
	}
	if s.compiled == nil {
		s.inCluster(&o, t)
		s.compiled, err = compile.Compile(s.pipeline, o)
	}
	return s.compiled, err
}

// storageDir returns the storage directory: of --storage, of the target, whose path is relative to the pipeline file, or the default.
func (s *source) storageDir(target, stateDir string) (string, error) {
	if s.storage != "" {
		return filepath.Abs(s.storage)
	}
	if t, ok := s.pipeline.Targets.Get(target); ok && t.Storage != "" {
		if filepath.IsAbs(t.Storage) {
			return t.Storage, nil
		}
		return filepath.Join(filepath.Dir(s.file), t.Storage), nil
	}
	return storageDir(stateDir), nil
}

// targetName returns the target of --target, or the default: the only target of kind local, else the only target, else "" for a file
// without targets. Such a file has an implicit target local.
func (s *source) targetName() (string, error) {
	var names, local []string
	for _, t := range s.pipeline.Targets.Entries {
		names = append(names, t.Key)
		if t.Value.Kind == kindLocal {
			local = append(local, t.Key)
		}
	}
	slices.Sort(names)
	if s.target != "" {
		if _, ok := s.pipeline.Targets.Get(s.target); !ok && (s.target != "local" || len(names) > 0) {
			return "", fail(exitUsage, "targets of the pipeline: "+cmp.Or(strings.Join(names, ", "), string(kindLocal)), "the pipeline has no target %q", s.target)
		}
		return s.target, nil
	}
	switch {
	case len(local) == 1:
		return local[0], nil
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", nil
	}
	return "", fail(exitUsage, "name one with --target: "+strings.Join(names, ", "), "the pipeline has %d targets of kind local", len(local))
}

// usesRay reports whether any step is a Ray job.
func (s *source) usesRay() bool {
	return anyRay(s.pipeline.Steps, func(*pipeline.Step) bool { return true })
}

// usesRayIn reports whether any step that runs in a context is a Ray job. own reports whether the context is the target's, in which steps
// run that name none.
func (s *source) usesRayIn(context string, own bool) bool {
	return anyRay(s.pipeline.Steps, func(st *pipeline.Step) bool { return st.Context == context || own && st.Context == "" })
}

// anyRay reports whether a wanted step, or a step inside one of the steps, has a Ray job, also as its onFailure.
func anyRay(steps []pipeline.Step, wanted func(*pipeline.Step) bool) bool {
	for i := range steps {
		st := &steps[i]
		if wanted(st) && (st.Ray != nil || st.OnFailure != nil && st.OnFailure.Ray != nil) || anyRay(st.Children(), wanted) {
			return true
		}
	}
	return false
}

// givesRaySecrets reports whether any Ray job receives secrets, or variables of this environment.
func (s *source) givesRaySecrets() bool {
	target, _ := s.targetName() // callers have checked the error
	t, _ := s.pipeline.Targets.Get(target)
	secrets := func(r *pipeline.RayJob) bool { return r != nil && len(r.Secrets) > 0 }
	return anyRay(s.pipeline.Steps, func(st *pipeline.Step) bool {
		return len(t.InheritEnv.Names) > 0 || secrets(st.Ray) || st.OnFailure != nil && secrets(st.OnFailure.Ray)
	})
}
