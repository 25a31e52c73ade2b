package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/ray"
	"github.com/rayorch/rayorch/internal/snapshot"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/task/raytask"
)

// freezer takes snapshots of the code of executions when they start.
type freezer struct {
	store  *snapshot.Store
	eng    *engine.Engine
	policy policy.Policy

	mu sync.Mutex
	// named are the sources that the definition of an execution does not name, until the execution starts: see nameCode.
	named map[string][]ray.Source
	// defined is what definitions name, by the definition's hash.
	defined map[[sha256.Size]byte]defined
}

// defined is what a definition names: sources, and the value of task.OwnLabel.
type defined struct {
	sources   []ray.Source // of Ray jobs
	processes []ray.Source
	own       string
}

func newFreezer(stateDir string, may policy.Policy) *freezer {
	return &freezer{store: snapshot.In(stateDir), policy: may, named: map[string][]ray.Source{}, defined: map[[sha256.Size]byte]defined{}}
}

// prepare is the engine's Config.Prepare.
func (f *freezer) prepare(ctx context.Context, arn string, r *engine.StartRequest) error {
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
		kept, err := f.store.Keep(ctx, of)
		if err != nil {
			return fmt.Errorf("snapshot the code: %w", err)
		}
		if !of.File { // describe shows no commit of the pipeline file
			kept.Commit, kept.Dirty = snapshot.Commit(ctx, of)
		}
		all = append(all, kept)
	}
	if len(all) > 0 {
		r.Labels = task.WithLabel(r.Labels, snapshot.Label, snapshot.Encode(all))
	}
	return nil
}

// permitted leaves out what an execution may not use: the attempt reports it.
func permitted(all []ray.Source, labels map[string]string, check func(labels map[string]string, path string) error) []ray.Source {
	return slices.DeleteFunc(slices.Clone(all), func(of ray.Source) bool { return check(labels, of.Path) != nil })
}

// maxDefined bounds of how many definitions it is kept in memory what they name.
const maxDefined = 256

// read returns what a definition names, the sources in a stable order. The caller holds f.mu.
func (f *freezer) read(definition []byte) defined {
	hash := sha256.Sum256(definition)
	if known, ok := f.defined[hash]; ok {
		return known
	}
	var p program
	_ = json.Unmarshal(definition, &p) // the engine also parses it, and reports errors
	d := defined{own: policy.Own(definition)}
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

// Name records sources that belong to the code of an execution that is about to start.
func (f *freezer) Name(execution string, sources []ray.Source) error {
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
func (f *freezer) Code(execution string) ([]snapshot.Snapshot, error) {
	x, err := f.eng.Describe(execution)
	if err != nil {
		return nil, err
	}
	return snapshot.Decode(x.Labels[snapshot.Label])
}

// Users returns the executions that use each package, except those whose code clean has released since their last start.
func (f *freezer) Users() (map[string][]string, error) {
	released, err := f.store.Released()
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	for filter := (engine.ListFilter{Children: true, Limit: stepfn.MaxPage}); ; {
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

func (f *freezer) addUses(users map[string][]string, arn string, released map[string]time.Time) error {
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

// code returns the code of an execution, or none if the server does not keep it.
func (s *session) code(ctx context.Context, arn string) (all []snapshot.Snapshot, err error) {
	if s.http == nil {
		return nil, nil // on AWS
	}
	err = s.askCode(ctx, url.Values{"execution": {arn}}, &all)
	return all, err
}

func (s *session) askCode(ctx context.Context, q url.Values, into any) error {
	resp, err := s.extension(ctx, "code", q)
	if answered(err) { // the server is of an older release, or is not rayorch
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(json.NewDecoder(resp.Body).Decode(into), resp.Body.Close())
}

// nameCode is called before a run starts. It sends the owner the parts of the run's code that the definition does not name: the
// pipeline file, and the directories of a run in a cluster.
func (s *session) nameCode(ctx context.Context, arn, file string, dirs []compile.Dir) error {
	var sources []ray.Source
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() { // a pipe cannot be read again
		sources = append(sources, ray.Source{Path: file, File: true})
	}
	for _, d := range dirs {
		sources = append(sources, ray.Source{Path: d.Path, Excludes: d.Excludes})
	}
	if len(sources) == 0 || s.dir == "" {
		return nil
	}
	if s.owner != nil {
		return s.owner.code.Name(arn, sources)
	}
	body, err := json.Marshal(sources)
	if err != nil {
		return err
	}
	resp, err := s.extend(ctx, http.MethodPost, "code", url.Values{"execution": {arn}}, bytes.NewReader(body))
	if unknown(err) {
		return fail(exitError, "restart that process with this release, or use another directory with --state-dir",
			"process %d (rayorch %s) owns the state directory and is of an older release, which cannot run this pipeline", s.addr.PID, s.addr.Version)
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// changedCode names the sources that have changed since an execution started. If its code is gone, the step that needs it reports that.
func (s *session) changedCode(ctx context.Context, all []snapshot.Snapshot) (changed []string) {
	if s.dir == "" {
		return nil
	}
	store := snapshot.In(s.dir)
	for _, kept := range all {
		name, err := store.Name(ctx, kept.Source)
		_, here := store.Size(kept.Package)
		switch {
		case err == nil && name == kept.Package, !here && !kept.File:
		case kept.File:
			changed = append(changed, "the pipeline file "+kept.Path)
		default:
			changed = append(changed, "the code in "+kept.Path)
		}
	}
	return changed
}

// codeDiff prints what differs between the code of an execution and the working tree.
func (a *app) codeDiff(ctx context.Context, s *session, arn string) error {
	all, err := s.code(ctx, arn)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fail(exitError, "rayorch keeps the code of runs that rayorch run starts on this machine or in a Kubernetes cluster",
			"no code is kept for the execution %s", nameOf(arn))
	}
	if s.dir == "" {
		return fail(exitUsage, "run rayorch describe --code-diff on that machine", "--code-diff reads the state directory of the machine that runs the execution")
	}
	text, err := snapshot.In(s.dir).Diff(ctx, all)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		a.say("the code has not changed since the run started")
	}
	_, err = a.out.Write(text)
	return err
}

func (a *app) describeCodeDiff(ctx context.Context, text string) error {
	return a.look(ctx, func(s *session) error {
		arn, err := s.findExecution(ctx, text)
		if err != nil {
			return err
		}
		return a.codeDiff(ctx, s, arn)
	})
}

// codeSummary is a directory or a module of an execution's code as describe shows it.
type codeSummary struct {
	Path   string `json:"path"`
	Hash   string `json:"hash"`
	Bytes  int64  `json:"bytes"`
	Commit string `json:"commit,omitempty"`
	Dirty  bool   `json:"dirty,omitempty"`
	// LeftOut are files that may hold keys and are not in the package.
	LeftOut []string `json:"leftOut,omitempty"`
}

func codeSummaries(all []snapshot.Snapshot) (out []codeSummary) {
	for _, c := range all {
		if !c.File { // the pipeline file is not code that runs
			out = append(out, codeSummary{c.Path, c.Hash(), c.Bytes, c.Commit, c.Dirty, c.LeftOut})
		}
	}
	return out
}

// shownHash is the number of characters of a hash that a terminal shows.
const shownHash = 12

func (c codeSummary) text() string {
	text := fmt.Sprintf("%s  %s", c.Hash[:min(shownHash, len(c.Hash))], c.Path)
	if c.Commit != "" {
		text += ", commit " + c.Commit[:min(shownHash, len(c.Commit))]
	}
	if c.Dirty {
		text += ", dirty"
	}
	if len(c.LeftOut) > 0 {
		text += ", without " + strings.Join(c.LeftOut, ", ")
	}
	return text
}
