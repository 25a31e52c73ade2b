package ray

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Release is the Ray that is installed when none is found. NumPy comes with it, for jobs that need nothing more.
const Release = "2.60.0"

// Python is an interpreter that has Ray with its dashboard.
type Python struct {
	Path       string
	Source     string // where it was found, for the user
	RayVersion string
}

// PythonFinder looks for a Python with Ray.
type PythonFinder struct {
	// Getenv reads RAYORCH_PYTHON, VIRTUAL_ENV and PATH. Defaults to an empty environment.
	Getenv func(string) string
	// Dir is the directory whose .venv counts. Defaults to the working directory.
	Dir string
	// Venv is where rayorch makes an environment of its own.
	Venv string
	// Progress takes lines for the user while one is made. Defaults to none.
	Progress func(line string)
}

// ErrNoPython says that no interpreter is there at all.
var ErrNoPython = errors.New("no python 3.10 or later was found: install one, or set RAYORCH_PYTHON to its path")

func (f PythonFinder) getenv(name string) string {
	if f.Getenv == nil {
		return ""
	}
	return f.Getenv(name)
}

type candidate struct{ path, source string }

func (f PythonFinder) candidates() []candidate {
	list := []candidate{{venvPython(filepath.Join(f.Dir, ".venv")), "./.venv"}}
	if env := f.getenv("VIRTUAL_ENV"); env != "" {
		list = append(list, candidate{venvPython(env), "VIRTUAL_ENV"})
	}
	return append(list, f.onPath()...)
}

// onPath looks through PATH itself, as the finder's environment need not be this process's.
func (f PythonFinder) onPath() []candidate {
	var list []candidate
	for _, dir := range filepath.SplitList(f.getenv("PATH")) {
		for _, name := range []string{"python3", "python"} {
			if path := filepath.Join(dir, name); filepath.IsAbs(path) {
				list = append(list, candidate{path, "PATH"})
			}
		}
	}
	return list
}

// venvPython is absolute: Ray is started in another directory than ours.
func venvPython(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Join(dir, "bin", "python")
}

// Find looks in RAYORCH_PYTHON, ./.venv, VIRTUAL_ENV, PATH and rayorch's own environment, in this order. Without one it
// returns ok false, and an error only when RAYORCH_PYTHON names one that will not do.
func (f PythonFinder) Find(ctx context.Context) (p Python, ok bool, err error) {
	if path := f.getenv("RAYORCH_PYTHON"); path != "" {
		version, err := rayVersion(ctx, path)
		if err != nil {
			return Python{}, false, fmt.Errorf("RAYORCH_PYTHON: %s has no ray with its dashboard (%w): run %s -m pip install 'ray[default]'", path, err, path)
		}
		return Python{path, "RAYORCH_PYTHON", version}, true, nil
	}
	for _, c := range f.candidates() {
		if version, err := rayVersion(ctx, c.path); err == nil {
			return Python{c.path, c.source, version}, true, nil
		}
	}
	if f.Venv != "" && isFile(f.readyMark()) {
		if version, err := rayVersion(ctx, venvPython(f.Venv)); err == nil {
			return Python{venvPython(f.Venv), "rayorch's own environment", version}, true, nil
		}
	}
	return Python{}, false, nil
}

// Get finds a Python with Ray, else makes an environment of its own and installs Release there.
func (f PythonFinder) Get(ctx context.Context) (Python, error) {
	p, ok, err := f.Find(ctx)
	if ok || err != nil {
		return p, err
	}
	if f.Venv == "" {
		return Python{}, errors.New("no python with ray was found: run pip install 'ray[default]', or set RAYORCH_PYTHON")
	}
	base, err := f.Base(ctx)
	if err != nil {
		return Python{}, err
	}
	return f.make(ctx, base)
}

// Base finds a Python, with or without Ray.
func (f PythonFinder) Base(ctx context.Context) (string, error) {
	for _, c := range f.candidates() {
		const check = "import sys; sys.exit(sys.version_info < (3, 10))"
		if isFile(c.path) && pythonCommand(ctx, c.path, "-c", check).Run() == nil {
			return c.path, nil
		}
	}
	return "", ErrNoPython
}

func (f PythonFinder) readyMark() string { return filepath.Join(f.Venv, "rayorch-ready") }

// make builds the environment in its place, as the scripts in one hold its path, and marks it once it is whole.
func (f PythonFinder) make(ctx context.Context, base string) (Python, error) {
	if err := os.RemoveAll(f.Venv); err != nil {
		return Python{}, fmt.Errorf("remove a half-made environment: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.Venv), 0o700); err != nil {
		return Python{}, err
	}
	f.progress("making a python environment with ray " + Release + " in " + f.Venv + " (some 400 MB, once)")
	if err := f.run(pythonCommand(ctx, base, "-m", "venv", f.Venv)); err != nil {
		return Python{}, fmt.Errorf("make a python environment: %w (Debian and Ubuntu need the package python3-venv)", err)
	}
	path := venvPython(f.Venv)
	err := f.run(pythonCommand(ctx, path, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off",
		"ray[default]=="+Release, "numpy"))
	if err != nil {
		return Python{}, fmt.Errorf("install ray %s: %w", Release, err)
	}
	version, err := rayVersion(ctx, path)
	if err != nil {
		return Python{}, fmt.Errorf("the new environment %s does not work: %w", f.Venv, err)
	}
	if err := os.WriteFile(f.readyMark(), []byte(version+"\n"), 0o600); err != nil {
		return Python{}, err
	}
	return Python{path, "rayorch's own environment", version}, nil
}

func (f PythonFinder) progress(line string) {
	if f.Progress != nil {
		f.Progress(line)
	}
}

// run passes on a command's lines; when it fails, its last line says why.
func (f PythonFinder) run(cmd *exec.Cmd) error {
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	last := make(chan string)
	go func() {
		var line string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if text := strings.TrimSpace(lines.Text()); text != "" {
				line = text
				f.progress(text)
			}
		}
		_, _ = io.Copy(io.Discard, out)
		last <- line
	}()
	err := cmd.Run()
	_ = in.Close()
	if line := <-last; err != nil {
		return fmt.Errorf("%w: %s", err, line)
	}
	return nil
}

// rayVersion asks a Python, without importing Ray, which takes a second, whether it has one with the dashboard's needs.
func rayVersion(ctx context.Context, path string) (string, error) {
	if !isFile(path) {
		return "", fmt.Errorf("%s is no file", path)
	}
	const ask = `import importlib.metadata as m
v = m.version("ray")
for need in ("aiohttp", "opencensus"): m.version(need)
print(v)`
	var stderr strings.Builder
	cmd := pythonCommand(ctx, path, "-c", ask)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// pythonCommand runs Python isolated (-I): neither PYTHON* variables nor files of the working directory change it.
func pythonCommand(ctx context.Context, path string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, path, append([]string{"-I"}, args...)...)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
