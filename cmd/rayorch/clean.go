package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// cleanOptions are the flags of clean.
type cleanOptions struct {
	olderThan time.Duration // 0: only named executions
	yes       bool          // do not ask for confirmation
	ray       rayOptions
}

func cleanCommand(a *app) *cobra.Command {
	var o cleanOptions
	c := &cobra.Command{
		Use:   "clean [EXECUTION]...",
		Short: "remove what finished runs left: storage, job files, Ray job records, code",
		Long: "clean lists what the named runs, or those that ended longer ago than --older-than, left behind, asks for confirmation, " +
			"and removes it: the run's directory on the storage (checkpoints), the files of plain jobs, Ray's records and logs of its jobs, " +
			"and the code that the run started with, unless another run uses it. A later redrive may need what clean removes. Histories and " +
			"the logs that rayorch keeps are not removed, and neither is anything of an open run. If a run was started over the network, a " +
			"directory outside the state directory is removed only if your own definition names it.",
		Example: "  rayorch clean --older-than 720h",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := atLeastZero(c, "older-than", o.olderThan); err != nil {
				return err
			}
			if len(args) == 0 && o.olderThan == 0 {
				return usage(c, errors.New("name at least one EXECUTION, or set --older-than"))
			}
			return a.clean(c.Context(), args, o)
		},
	}
	c.Flags().DurationVar(&o.olderThan, "older-than", 0, "clean all runs that ended longer ago than this, such as 720h")
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "remove without asking for confirmation")
	o.ray.flags(c)
	return c
}

// leftover is what a run left. ARN is empty for code that no run uses.
type leftover struct {
	ARN   string   `json:"arn"`
	Dirs  []string `json:"directories"`
	Jobs  []rayJob `json:"rayJobs"`
	Code  []string `json:"code,omitempty"` // names of packages
	Bytes int64    `json:"bytes"`
}

// rayJob names a job in the records of a Ray.
type rayJob struct {
	SubmissionID string `json:"submissionId"`
	Address      string `json:"address"`
}

// clean lists what runs left, asks for confirmation and removes it. The time before the list was made limits what may be removed: see
// remove.
func (a *app) clean(ctx context.Context, names []string, o cleanOptions) error {
	began := time.Now()
	if err := a.checkStateDir(); err != nil {
		return err
	}
	all, err := a.leftovers(ctx, names, o)
	if err != nil {
		return err
	}
	if ok, err := confirm(a.out, a.in, all, o.yes); !ok || err != nil {
		return err
	}
	if err := a.remove(ctx, all, began, o.ray); err != nil {
		return err
	}
	a.out.say("removed")
	return nil
}

// leftovers finds what can be removed. It does not keep the state directory open, so that other commands need not wait until the user
// has confirmed.
func (a *app) leftovers(ctx context.Context, names []string, o cleanOptions) (all []leftover, err error) {
	err = a.readOnly(ctx, func(s *session) (err error) {
		all, err = s.leftoversOf(ctx, names, o.olderThan)
		return err
	})
	return all, err
}

// leftoversOf returns what the named and the old runs left, and last the code that no run uses.
func (s *session) leftoversOf(ctx context.Context, names []string, olderThan time.Duration) ([]leftover, error) {
	arns, err := s.finished(ctx, names, olderThan)
	if err != nil {
		return nil, err
	}
	// Code is counted with the first of the cleaned runs that used it.
	code, err := s.unusedCode(ctx, arns)
	if err != nil {
		return nil, err
	}
	var all []leftover
	for _, arn := range append(arns, "") { // "" for code that no run uses
		l := leftover{}
		if arn != "" {
			if l, err = s.leftoverOf(ctx, arn); err != nil {
				return nil, err
			}
		}
		for _, name := range code[arn] {
			if size, ok := snapshot.Open(s.dir).Size(name); ok {
				l.Code, l.Bytes = append(l.Code, name), l.Bytes+size
			}
		}
		if len(l.Dirs)+len(l.Jobs)+len(l.Code) > 0 {
			all = append(all, l)
		}
	}
	return all, nil
}

// unusedFor is how long ago a package must have been used before clean removes it as one that no run uses: a run that is being
// started may be about to use it.
const unusedFor = time.Hour

// unusedCode returns the packages that only cleaned runs use, by the first of these runs that uses each; under "", those that no run
// uses.
func (s *session) unusedCode(ctx context.Context, cleaned []string) (map[string][]string, error) {
	if s.dir == "" {
		return nil, nil
	}
	users, err := s.client.CodeUsers(ctx) // nil from a server that does not report them: nothing is removed
	if err != nil || users == nil {
		return nil, err
	}
	isCleaned := map[string]bool{}
	for _, arn := range cleaned {
		isCleaned[arn] = true
	}
	unused := map[string][]string{}
	for name, arns := range users {
		if !slices.ContainsFunc(arns, func(arn string) bool { return !isCleaned[arn] }) {
			unused[arns[0]] = append(unused[arns[0]], name)
		}
	}
	old, err := snapshot.Open(s.dir).Names(time.Now().Add(-unusedFor))
	for _, name := range old {
		if users[name] == nil {
			unused[""] = append(unused[""], name)
		}
	}
	return unused, err
}

// finished returns the executions to clean. A named execution that is still open is an error.
func (s *session) finished(ctx context.Context, names []string, olderThan time.Duration) ([]string, error) {
	var arns []string
	for _, name := range names {
		arn, err := s.findExecution(ctx, name)
		if err != nil {
			return nil, err
		}
		sum, err := s.summary(ctx, arn)
		if err != nil {
			return nil, err
		}
		if sum.Stopped == nil {
			return nil, fail(exitError, "stop it first: rayorch stop "+sum.Name, "the execution %s is still running", sum.Name)
		}
		arns = append(arns, arn)
	}
	if olderThan == 0 {
		return arns, nil
	}
	rows, err := s.listed(ctx, "", "", 0, false)
	for _, r := range rows {
		if r.Stopped != nil && time.Since(*r.Stopped) > olderThan {
			arns = append(arns, r.ARN)
		}
	}
	return arns, err
}

// sizeOf returns the size of the regular files in a directory, in bytes; ok is false if it is not a directory.
func sizeOf(dir string) (size int64, ok bool) {
	if info, err := os.Stat(dir); dir == "" || err != nil || !info.IsDir() {
		return 0, false
	}
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size, true
}

// confirm shows what would be removed and asks for confirmation. Without a terminal, only --yes confirms.
func confirm(p *printer, in io.Reader, all []leftover, yes bool) (bool, error) {
	if err := p.result(all, func() { printLeftovers(p, all) }); err != nil {
		return false, err
	}
	if len(all) == 0 || yes {
		return len(all) > 0, nil
	}
	if _, tty := terminalOf(in); !tty {
		p.say("nothing was removed; to remove it, add --yes")
		return false, nil
	}
	fmt.Fprint(p.stderr, "remove this? [y/N] ") // the answer is on the same line
	answer, _ := bufio.NewReader(in).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y"), nil
}

// printLeftovers prints the name and the size of each run, and below it what the run left.
func printLeftovers(p *printer, all []leftover) {
	if len(all) == 0 {
		p.printf("nothing to clean\n")
	}
	for _, l := range all {
		of := nameOf(l.ARN)
		if l.ARN == "" {
			of = "code that no run uses"
		}
		p.printf("%s: %s\n", of, byteSize(uint64(l.Bytes)))
		for _, d := range l.Dirs {
			p.printf("  %s\n", d)
		}
		for _, j := range l.Jobs {
			p.printf("  Ray job %s at %s\n", j.SubmissionID, j.Address)
		}
		for _, name := range l.Code {
			p.printf("  code %s\n", name)
		}
	}
}

// remove removes what was listed. It continues after an error, and returns all errors. listed is the time at which the list was made:
// code that a run has used since then is kept.
func (a *app) remove(ctx context.Context, all []leftover, listed time.Time, o rayOptions) error {
	var errs []error
	resolver, err := a.resolver(o, false, a.out.say)
	if err != nil {
		return err
	}
	for _, l := range all {
		for _, d := range l.Dirs {
			errs = append(errs, os.RemoveAll(d))
		}
		for _, j := range l.Jobs {
			errs = append(errs, forgetJob(ctx, resolver, j))
		}
	}
	if a.isRemote() { // the code is not on this machine
		return errors.Join(errs...)
	}
	dir, err := a.stateDirectory()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, l := range all {
		errs = append(errs, releaseCode(snapshot.Open(dir), l, listed))
	}
	return errors.Join(errs...)
}

// releaseCode removes the packages of a run that no other run uses.
func releaseCode(store *snapshot.Store, l leftover, listed time.Time) error {
	var errs []error
	if l.ARN != "" {
		errs = append(errs, store.Release(l.ARN, time.Now()))
	}
	for _, name := range l.Code {
		errs = append(errs, store.Remove(name, listed))
	}
	return errors.Join(errs...)
}

// forgetJob deletes Ray's record of a job. An unreachable Ray is not an error: the records of a Ray that has stopped are gone.
func forgetJob(ctx context.Context, resolver ray.Resolver, j rayJob) error {
	found, err := resolver.Named(ctx, j.Address, "the address of the job's Ray")
	if ray.KindOf(err) == ray.Unreachable {
		return nil
	}
	if err != nil {
		return err
	}
	client, err := found.Client()
	if err != nil {
		return err
	}
	if err := client.Delete(ctx, j.SubmissionID); ray.KindOf(err) != ray.NotFound {
		return err
	}
	return nil
}
