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

func initCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIRECTORY]",
		Short: "create a pipeline that is ready to run",
		Long: "init writes a pipeline file with two steps, and the steps' scripts, to a directory (default: the current directory). If one " +
			"of these files exists, init fails and writes nothing.",
		Example: "  rayorch init demo && rayorch run demo",
		Args:    atMostOneArg,
		RunE:    func(_ *cobra.Command, args []string) error { return initialize(a.out, first(args)) },
	}
}

// initialize writes the files of a new pipeline. It checks all of them before it writes the first one.
func initialize(p *printer, dir string) error {
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
		_, err := os.Lstat(filepath.Join(abs, name))
		switch {
		case err == nil:
			return fail(exitError, "use another directory: rayorch init DIRECTORY", "%s exists; nothing was written", filepath.Join(dir, name))
		case !errors.Is(err, fs.ErrNotExist): // such as a file with the name of the directory
			return fail(exitError, "use another directory: rayorch init DIRECTORY", "write the pipeline: %w", err)
		}
	}
	for _, name := range names {
		path := filepath.Join(abs, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write the pipeline: %w", err)
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("write the pipeline: %w", err)
		}
	}
	p.printf("created %s\nto run the pipeline: rayorch run %s\n", strings.Join(names, ", "), dir)
	return nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// pipelineName derives a valid pipeline name, of at most 40 characters, from the name of a directory.
func pipelineName(dir string) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(dir), "-"), "-")
	if name == "" || name[0] < 'a' {
		return "pipeline"
	}
	return name[:min(len(name), 40)]
}
