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

	"github.com/rayorch/rayorch/internal/engine/snapshot"
)

// workCopy records when a copy of the working directory was made: newer files are the job's.
type workCopy struct{ At time.Time }

// dir is the directory that the process runs in.
func (a *attempt) dir() string {
	if a.args.Snapshot == nil {
		return a.args.Dir
	}
	return a.place.path("work")
}

// copyDir makes a copy of the working directory as it was when the execution started, with links to what its package does not
// contain, such as data and virtual environments.
func (a *attempt) copyDir(ctx context.Context) error {
	if a.args.Snapshot == nil || a.place.has("work") {
		return nil
	}
	source := snapshot.Source{Path: a.args.Dir, Excludes: a.args.Snapshot.Excludes}
	a.req.Waits("the working directory is being copied", time.Now())
	made := workCopy{time.Now().Truncate(time.Second)}
	if err := a.place.write("copy", made); err != nil {
		return err
	}
	links := func(dir string) error { return linkLeftOut(source, dir) }
	return a.r.cfg.Code.Extract(ctx, a.req.Labels[snapshot.Label], source, a.dir(), made.At, links)
}

// linkLeftOut adds links to a copy of a directory, to what the directory's package does not contain.
func linkLeftOut(source snapshot.Source, dir string) error {
	paths, err := source.LeftOut()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the directory is gone: there is nothing to link to
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
			continue // in a directory that is newer than the package
		}
		if err := os.Symlink(filepath.Join(source.Path, path), link); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// removeCopy removes the copy once the process has ended, unless the job wrote files into it: no file of a job is lost.
func (a *attempt) removeCopy() {
	var made workCopy
	if !a.place.ended() || !a.place.has("work") || !a.place.read("copy", &made) {
		return
	}
	dir := a.place.path("work")
	written, err := snapshot.Written(dir, made.At)
	if err == nil && len(written) == 0 {
		_ = os.RemoveAll(dir) // rayorch clean removes what stays
		return
	}
	if len(written) > 0 {
		shown := strings.Join(written[:min(3, len(written))], ", ")
		if len(written) > 3 {
			shown += fmt.Sprintf(" and %d more", len(written)-3)
		}
		fmt.Fprintf(a.req.Log, "rayorch: the job wrote files into its copy of the working directory: %s. They stay in %s until "+
			"rayorch clean removes them. Write results to $RAYORCH_STORAGE, or set job.inPlace: true to run in the directory itself.\n",
			a.log.Hide.Text(shown), dir)
	}
}
