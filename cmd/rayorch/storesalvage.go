package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
)

func storeSalvageCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "salvage DIRECTORY",
		Short: "copy the complete executions of a damaged state directory to a new one",
		Long: "salvage copies the executions that are complete, their logs, all state machines, the code packages and the files of plain " +
			"jobs to DIRECTORY, which must be empty or not exist. It lists the executions that it leaves out, and the files that it does " +
			"not copy. It does not change the damaged state directory.\n\n" +
			"When a server or a run opens DIRECTORY, open executions continue from the newest state that was found. Steps that they " +
			"started after that state may run again. To prevent this, stop these executions first: rayorch stop.",
		Example: "  rayorch store salvage /var/lib/rayorch-new",
		Args:    oneArg,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := a.stateDirectory()
			if err != nil {
				return err
			}
			return salvage(c.Context(), a.out, dir, args[0])
		},
	}
}

// salvaged is the report of salvage, and its JSON.
type salvaged struct {
	Executions int64            `json:"executions"`
	Open       []string         `json:"open"`
	LeftOut    []engine.Problem `json:"leftOut"`
	Damage     []store.Loss     `json:"damage"`
	NotCopied  []string         `json:"notCopied"`
}

// salvage copies what is complete from the state directory dir to the directory to, and prints a report.
func salvage(ctx context.Context, p *printer, dir, to string) error {
	if err := checkApart(dir, to); err != nil {
		return err
	}
	r := salvaged{Open: []string{}, LeftOut: []engine.Problem{}, Damage: []store.Loss{}, NotCopied: []string{}}
	s, err := engine.Salvage(ctx, dir, to, store.Options{Logger: p.logger()}, func(l store.Loss) { r.Damage = append(r.Damage, l) })
	if err != nil {
		return err
	}
	r.Executions, r.Open, r.LeftOut = s.Runs, append(r.Open, s.Open...), append(r.LeftOut, s.Left...)
	c := copier{from: dir, to: to}
	for _, name := range s.LogDirs {
		c.copy(filepath.Join("logs", name))
	}
	c.copy("code")
	c.copy("jobs")
	r.NotCopied = append(r.NotCopied, c.rest()...)
	return p.result(r, func() { printSalvaged(p, &r, to) })
}

// checkApart returns an error if the target is inside the source: the copy would change the source.
func checkApart(from, to string) error {
	from, ferr := filepath.Abs(from)
	to, terr := filepath.Abs(to)
	if err := errors.Join(ferr, terr); err != nil {
		return err
	}
	if rel, err := filepath.Rel(from, to); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return fail(exitUsage, "name a directory outside the state directory", "%s is inside the state directory %s", to, from)
	}
	return nil
}

// printSalvaged prints what was left out and not copied, the open executions, and a summary.
func printSalvaged(p *printer, r *salvaged, to string) {
	for _, l := range r.Damage {
		p.printf("%s\n", l)
	}
	for _, problem := range r.LeftOut {
		p.printf("left out: %s\n", problem)
	}
	for _, name := range r.NotCopied {
		p.printf("not copied: %s\n", name)
	}
	for _, arn := range r.Open {
		p.printf("open: %s\n", arn)
	}
	p.printf("%d executions (%d open) copied to %s, %d left out\n", r.Executions, len(r.Open), to, len(r.LeftOut))
}

// copier copies files of a state directory. It continues after errors and collects them.
type copier struct {
	from, to string
	failed   []string
}

// copy copies a file, or a directory with its contents, if it exists. It does not copy sockets and pipes.
func (c *copier) copy(name string) {
	root := filepath.Join(c.from, name)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			rel, _ := filepath.Rel(c.from, path) // cannot fail: path is below from
			err = copyOne(path, filepath.Join(c.to, rel), d)
		}
		if err != nil && !(path == root && errors.Is(err, fs.ErrNotExist)) {
			c.failed = append(c.failed, err.Error())
		}
		return nil
	})
	if err != nil {
		c.failed = append(c.failed, err.Error())
	}
}

// copyOne copies a directory without its contents, a symbolic link, or a regular file.
func copyOne(from, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		return os.MkdirAll(to, info.Mode().Perm()|0o700)
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case d.Type().IsRegular():
		return copyFile(from, to, info.Mode().Perm())
	}
	return nil
}

// copyFile copies a file and syncs the copy. It does not overwrite a file.
func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// rest lists the errors, and the entries of the state directory that were not copied. It leaves out those of the old database and of its
// last owner.
func (c *copier) rest() []string {
	entries, err := os.ReadDir(c.from)
	if err != nil {
		c.failed = append(c.failed, err.Error())
	}
	known := []string{"db", "db.new", "commits", "lock", "owner", "probe", "api.json", "api.sock", "logs", "code", "jobs"}
	names := c.failed
	for _, e := range entries {
		if !slices.Contains(known, e.Name()) {
			names = append(names, filepath.Join(c.from, e.Name()))
		}
	}
	return names
}
