// Package freeze makes executions run the code as it was when they started. It implements the engine's Config.Prepare: it packs the
// directories and modules that a definition names (internal/task/snapshot), and adds the list as a label, which is committed with the
// start. It leaves out sources that an execution is not allowed to use; the attempt that needs one fails with the reason. It does not run
// code, and does not delete packages.
package freeze

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/task/raytask"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// Freezer takes snapshots of the code of executions when they start. The API uses it to show the code of an execution, and to add sources
// (api.Code).
type Freezer struct {
	// Store has the packages.
	Store *snapshot.Store

	eng    *engine.Engine
	policy policy.Policy

	mu sync.Mutex
	// named has additional sources, which the definition of an execution does not name, by the execution's ARN, until it starts.
	named map[string][]ray.Source
	// defined has the sources of definitions, by the hash of the definition.
	defined map[[sha256.Size]byte]defined
}

// defined has the sources that a definition names.
type defined struct {
	sources   []ray.Source // of Ray jobs
	processes []ray.Source // of local processes
	own       string       // the value of task.OwnLabel
}

// New returns a Freezer that stores packages in a state directory.
func New(stateDir string, may policy.Policy) *Freezer {
	return &Freezer{Store: snapshot.Open(stateDir), policy: may, named: map[string][]ray.Source{}, defined: map[[sha256.Size]byte]defined{}}
}

// SetEngine sets the engine, which Code and Users need. It is set after New because the engine is opened with Prepare.
func (f *Freezer) SetEngine(eng *engine.Engine) { f.eng = eng }

// Prepare is the engine's Config.Prepare.
func (f *Freezer) Prepare(ctx context.Context, arn string, r *engine.StartRequest) error {
	f.mu.Lock()
	names := f.read(r.Definition)
	sources := f.named[arn]
	delete(f.named, arn)
	f.mu.Unlock()
	if r.Labels[task.OriginLabel] == task.NetworkInput {
		r.Labels = task.WithLabel(r.Labels, task.OwnLabel, names.own)
	}
	sources = slices.Concat(sources, permitted(names.sources, r.Labels, f.policy.Dir), permitted(names.processes, r.Labels, f.policy.ProcessDir))
	var all []snapshot.Snapshot
	for _, of := range sources {
		if _, ok := snapshot.Find(all, of); ok {
			continue
		}
		kept, err := f.Store.Keep(ctx, of)
		if err != nil {
			return fmt.Errorf("snapshot the code: %w", err)
		}
		if !of.File { // describe does not show the commit of the pipeline file
			kept.Commit, kept.Dirty = snapshot.Commit(ctx, of)
		}
		all = append(all, kept)
	}
	if len(all) > 0 {
		r.Labels = task.WithLabel(r.Labels, snapshot.Label, snapshot.Encode(all))
	}
	return nil
}

// permitted returns the sources that an execution is allowed to use. The attempt that needs another one fails with the reason.
func permitted(all []ray.Source, labels map[string]string, check func(labels map[string]string, path string) error) []ray.Source {
	return slices.DeleteFunc(slices.Clone(all), func(of ray.Source) bool { return check(labels, of.Path) != nil })
}

// maxDefined is the maximum number of definitions whose sources are cached.
const maxDefined = 256

// read returns the sources that a definition names, sorted by path. The caller holds f.mu.
func (f *Freezer) read(definition []byte) defined {
	hash := sha256.Sum256(definition)
	if known, ok := f.defined[hash]; ok {
		return known
	}
	var p program
	_ = json.Unmarshal(definition, &p) // the engine also parses it, and reports errors
	d := defined{own: policy.OwnValues(definition)}
	p.collect(&d)
	for _, all := range [][]ray.Source{d.sources, d.processes} {
		slices.SortFunc(all, func(a, b ray.Source) int { return strings.Compare(a.Path, b.Path) })
	}
	if len(f.defined) >= maxDefined {
		clear(f.defined)
	}
	f.defined[hash] = d
	return d
}

// program is the part of a definition that describes its tasks.
type program struct{ States map[string]programState }

type programState struct {
	Resource                string
	Arguments, Parameters   json.RawMessage
	Branches                []program
	ItemProcessor, Iterator *program
}

// collect adds the sources of a program's tasks, including those of nested programs.
func (p *program) collect(d *defined) {
	if p == nil {
		return
	}
	for _, s := range p.States {
		arguments := s.Arguments
		if arguments == nil {
			arguments = s.Parameters
		}
		switch s.Resource {
		case stepfn.RaySubmitJob:
			d.sources = append(d.sources, raytask.Sources(arguments)...)
		case stepfn.ProcessRun:
			d.processes = append(d.processes, proctask.Sources(arguments)...)
		}
		for i := range s.Branches {
			s.Branches[i].collect(d)
		}
		s.ItemProcessor.collect(d)
		s.Iterator.collect(d)
	}
}

// AddSources adds sources to the code of an execution that is about to start. Their paths must be absolute.
func (f *Freezer) AddSources(execution string, sources []ray.Source) error {
	for _, of := range sources {
		if !filepath.IsAbs(of.Path) {
			return fmt.Errorf("the path %q must be absolute", of.Path)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named[execution] = sources
	return nil
}

// Code returns the code of an execution.
func (f *Freezer) Code(execution string) ([]snapshot.Snapshot, error) {
	x, err := f.eng.Describe(execution)
	if err != nil {
		return nil, err
	}
	return snapshot.Decode(x.Labels[snapshot.Label])
}

// Users returns the ARNs of the executions that use each package, except those whose code was released after their last redrive.
func (f *Freezer) Users() (map[string][]string, error) {
	released, err := f.Store.Released()
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	for filter := (engine.ListFilter{Limit: 1000}); ; {
		page, err := f.eng.List(filter)
		if err != nil {
			return nil, err
		}
		for _, listed := range page.Executions {
			if err := f.addUses(users, listed.ARN, released); err != nil {
				return nil, err
			}
		}
		if filter.Token = page.Next; filter.Token == "" {
			return users, nil
		}
	}
}

// addUses adds an execution to the users of its packages, unless its code was released and it was not redriven since.
func (f *Freezer) addUses(users map[string][]string, arn string, released map[string]time.Time) error {
	x, err := f.eng.Describe(arn)
	if errors.Is(err, engine.ErrExecutionDoesNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	if at, ok := released[arn]; ok && !x.Redriven.After(at) {
		return nil
	}
	all, err := snapshot.Decode(x.Labels[snapshot.Label])
	for _, kept := range all {
		users[kept.Package] = append(users[kept.Package], arn)
	}
	return err
}
