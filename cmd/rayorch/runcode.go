package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// code returns the code of an execution, or none if the server does not keep it.
func (s *session) code(ctx context.Context, arn string) ([]snapshot.Snapshot, error) {
	return s.client.Code(ctx, arn)
}

// nameCode sends the owner, before a run starts, the parts of the run's code that the definition does not name: the pipeline file, and the
// directories of a run in a cluster.
func (s *session) nameCode(ctx context.Context, arn, file string, dirs []compile.Dir) error {
	var sources []ray.Source
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() { // a pipe cannot be read again
		sources = append(sources, ray.Source{Path: file, File: true})
	}
	for _, d := range dirs {
		sources = append(sources, ray.Source{Path: d.Path, Excludes: d.Excludes})
	}
	return s.client.AddCode(ctx, arn, sources)
}

// changedCode returns the sources that have changed since an execution started. It does not report code that was removed: the step that
// needs it does.
func (s *session) changedCode(ctx context.Context, all []snapshot.Snapshot) (changed []string) {
	if s.dir == "" {
		return nil
	}
	store := snapshot.Open(s.dir)
	for _, kept := range all {
		name, err := store.Name(ctx, kept.Source)
		_, here := store.Size(kept.Package)
		switch {
		case err == nil && name == kept.Package, !here && !kept.File: // unchanged, or its code was removed
		case kept.File:
			changed = append(changed, "the pipeline file "+kept.Path)
		default:
			changed = append(changed, "the code in "+kept.Path)
		}
	}
	return changed
}

// codeDiff prints the differences between the code of an execution and the current files.
func (s *session) codeDiff(ctx context.Context, arn string) error {
	all, err := s.code(ctx, arn)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fail(exitError, "rayorch keeps the code of runs that rayorch run starts on this machine or in a Kubernetes cluster",
			"no code is kept for the execution %s", nameOf(arn))
	}
	if s.dir == "" {
		return fail(exitUsage, "run rayorch describe --code-diff on the machine that runs the execution",
			"--code-diff needs the state directory, which is on another machine")
	}
	text, err := snapshot.Open(s.dir).Diff(ctx, all)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		s.app.out.say("the code has not changed since the run started")
	}
	s.app.out.write(text)
	return nil
}

// describeCodeDiff finds an execution and prints the differences between its code and the current files.
func (a *app) describeCodeDiff(ctx context.Context, text string) error {
	return a.readOnly(ctx, func(s *session) error {
		arn, err := s.findExecution(ctx, text)
		if err != nil {
			return err
		}
		return s.codeDiff(ctx, arn)
	})
}

// codeSummary is a directory or a module of an execution's code. It is part of the JSON of run, resume and describe.
type codeSummary struct {
	Path   string `json:"path"`
	Hash   string `json:"hash"`
	Bytes  int64  `json:"bytes"`
	Commit string `json:"commit,omitempty"`
	Dirty  bool   `json:"dirty,omitempty"`
	// LeftOut are files that are not in the package because they may contain keys.
	LeftOut []string `json:"leftOut,omitempty"`
}

func codeSummaries(all []snapshot.Snapshot) (out []codeSummary) {
	for _, c := range all {
		if !c.File { // the pipeline file is kept for comparison only
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
