package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/pipeline"
)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIRECTORY]",
		Short: "make a pipeline that runs as it is",
		Long: "init writes a pipeline of two steps with their scripts into a directory (this one by default). It overwrites\n" +
			"nothing: where one of its files exists it writes none.",
		Example: "  rayorch init demo && rayorch run demo",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.initialize(first(args)) },
	}
}

func (a *app) initialize(dir string) error {
	if dir == "" {
		dir = "."
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	files := pipeline.Init(pipelineName(filepath.Base(abs)))
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(abs, name)); !errors.Is(err, fs.ErrNotExist) {
			return fail(exitError, "name another directory", "%s exists: nothing was written", filepath.Join(dir, name))
		}
	}
	for _, name := range names {
		path := filepath.Join(abs, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("write the pipeline: %w", err)
		}
	}
	_, err = fmt.Fprintf(a.out, "made %s\nrun it: rayorch run %s\n", strings.Join(names, ", "), dir)
	return err
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// pipelineName makes a pipeline's name from a directory's.
func pipelineName(dir string) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(dir), "-"), "-")
	if name == "" || name[0] < 'a' {
		return "pipeline"
	}
	return name[:min(len(name), 40)]
}
