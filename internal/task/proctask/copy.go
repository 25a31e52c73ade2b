package proctask

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// workCopy records when a copy of the working directory was created. Newer files in the copy were written by the job.
type workCopy struct{ At time.Time }

// dir returns the directory in which the process runs.
func (a *attempt) dir() string {
	if a.args.Snapshot == nil {
		return a.args.Dir
	}
	return a.procDir.path("work")
}

// copyDir creates a copy of the working directory as it was when the execution started. Files that the package of the directory excludes,
// such as data and virtual environments, are symbolic links in the copy.
func (a *attempt) copyDir(ctx context.Context) error {
	if a.args.Snapshot == nil || a.procDir.has("work") {
		return nil
	}
	source := snapshot.Source{Path: a.args.Dir, Excludes: a.args.Snapshot.Excludes}
	a.req.Waits("the working directory is being copied", time.Now())
	made := workCopy{time.Now().Truncate(time.Second)}
	if err := a.procDir.write("copy", made); err != nil {
		return err
	}
	links := func(dir string) error { return linkLeftOut(source, dir) }
	return a.r.cfg.Code.Extract(ctx, a.req.Labels[snapshot.Label], source, a.dir(), made.At, links)
}

// linkLeftOut adds symbolic links to dir, a copy of the source, for the files and directories that the source's package excludes.
func linkLeftOut(source snapshot.Source, dir string) error {
	paths, err := source.Excluded()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the source was deleted: there is nothing to link to
	}
	if err != nil {
		return err
	}
	for _, path := range paths {
		if name := filepath.Base(path); name == ".git" || name == "__pycache__" { // they belong to the original directory
			continue
		}
		link := filepath.Join(dir, path)
		if _, err := os.Stat(filepath.Dir(link)); err != nil {
			continue // its parent directory was created after the package
		}
		if err := os.Symlink(filepath.Join(source.Path, path), link); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// removeCopy deletes the copy after the process has ended. If the job wrote files into the copy, it keeps the copy and adds a note to the
// log, so that no results are lost.
func (a *attempt) removeCopy() {
	var made workCopy
	if !a.procDir.ended() || !a.procDir.has("work") || !a.procDir.read("copy", &made) {
		return
	}
	dir := a.procDir.path("work")
	written, err := snapshot.Written(dir, made.At)
	if err == nil && len(written) == 0 {
		_ = os.RemoveAll(dir) // if this fails, rayorch clean removes it later
		return
	}
	if len(written) > 0 {
		shown := strings.Join(written[:min(3, len(written))], ", ")
		if len(written) > 3 {
			shown += fmt.Sprintf(" and %d more", len(written)-3)
		}
		fmt.Fprintf(a.req.Log, "rayorch: the job wrote files into its copy of the working directory: %s. They stay in %s until "+
			"rayorch clean removes them. Write results to $RAYORCH_STORAGE, or set job.inPlace: true to run in the original directory.\n",
			a.log.Hide.Text(shown), dir)
	}
}
