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

// Release is the version of Ray that rayorch installs, together with NumPy, if it finds no Ray.
const Release = "2.60.0"

// Python is a Python interpreter with Ray and its dashboard (ray[default]).
type Python struct {
	Path       string
	Source     string // describes to the user where it was found
	RayVersion string
}

// PythonFinder finds a Python with Ray. All fields are optional.
type PythonFinder struct {
	// Getenv returns the values of RAYORCH_PYTHON, VIRTUAL_ENV and PATH. Default: no variables.
	Getenv func(string) string
	// Dir is the directory in which .venv is looked for. Default: the working directory.
	Dir string
	// Venv is the path of the virtual environment that rayorch creates if it finds no Python with Ray.
	Venv string
	// Progress receives messages for the user while the environment is created.
	Progress func(line string)
}

// ErrNoPython reports that no suitable Python interpreter was found, with or without Ray.
var ErrNoPython = errors.New("no Python 3.10 or later was found: install one, or set RAYORCH_PYTHON to its path")

func (f PythonFinder) getenv(name string) string {
	if f.Getenv == nil {
		return ""
	}
	return f.Getenv(name)
}

type candidate struct{ path, source string }

// candidates returns the interpreters to try, in this order. They may not exist.
func (f PythonFinder) candidates() []candidate {
	list := []candidate{{venvPython(filepath.Join(f.Dir, ".venv")), "./.venv"}}
	if env := f.getenv("VIRTUAL_ENV"); env != "" {
		list = append(list, candidate{venvPython(env), "VIRTUAL_ENV"})
	}
	return append(list, f.onPath()...)
}

// onPath returns the candidates in PATH. It does not use exec.LookPath, because Getenv may differ from this process's environment.
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

// venvPython returns the absolute path of the interpreter in a virtual environment: Ray is started in another working directory.
func venvPython(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Join(dir, "bin", "python")
}

// Find looks for a Python with Ray in RAYORCH_PYTHON, ./.venv, VIRTUAL_ENV, PATH and rayorch's own environment, in this order. If there is
// none, ok is false. It returns an error only if RAYORCH_PYTHON is set to a Python without Ray.
func (f PythonFinder) Find(ctx context.Context) (p Python, ok bool, err error) {
	if path := f.getenv("RAYORCH_PYTHON"); path != "" {
		version, err := rayVersion(ctx, path)
		if err != nil {
			return Python{}, false, fmt.Errorf("RAYORCH_PYTHON: %s does not have ray[default] installed (%w): run %s -m pip install 'ray[default]'", path, err, path)
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

// Get finds a Python with Ray. If there is none, it creates rayorch's own environment and installs Release there.
func (f PythonFinder) Get(ctx context.Context) (Python, error) {
	p, ok, err := f.Find(ctx)
	if ok || err != nil {
		return p, err
	}
	if f.Venv == "" {
		return Python{}, errors.New("no Python with Ray was found: run pip install 'ray[default]', or set RAYORCH_PYTHON")
	}
	base, err := f.Base(ctx)
	if err != nil {
		return Python{}, err
	}
	return f.create(ctx, base)
}

// Base returns the path of a Python 3.10 or later, with or without Ray.
func (f PythonFinder) Base(ctx context.Context) (string, error) {
	for _, c := range f.candidates() {
		const check = "import sys; sys.exit(sys.version_info < (3, 10))"
		if isFile(c.path) && pythonCommand(ctx, c.path, "-c", check).Run() == nil {
			return c.path, nil
		}
	}
	return "", ErrNoPython
}

// readyMark returns the path of the file that exists if rayorch's environment is complete.
func (f PythonFinder) readyMark() string { return filepath.Join(f.Venv, "rayorch-ready") }

// create creates rayorch's environment. It cannot create it under another name first, because scripts in the environment contain its path;
// so it creates a mark at the end.
func (f PythonFinder) create(ctx context.Context, base string) (Python, error) {
	if err := os.RemoveAll(f.Venv); err != nil {
		return Python{}, fmt.Errorf("remove an incomplete Python environment: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.Venv), 0o700); err != nil {
		return Python{}, err
	}
	f.progress("creating a Python environment with Ray " + Release + " in " + f.Venv + " (about 400 MB, only the first time)")
	if err := f.run(pythonCommand(ctx, base, "-m", "venv", f.Venv)); err != nil {
		return Python{}, fmt.Errorf("create a Python environment: %w (on Debian and Ubuntu, install the package python3-venv)", err)
	}
	path := venvPython(f.Venv)
	err := f.run(pythonCommand(ctx, path, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off",
		"ray[default]=="+Release, "numpy"))
	if err != nil {
		return Python{}, fmt.Errorf("install Ray %s: %w", Release, err)
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

// run runs a command and passes its output to progress. If the command fails, the error contains the last line of the output.
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

// rayVersion returns the version of Ray that a Python has. It is an error if Ray or the dependencies of the dashboard are missing. It
// reads the package metadata, because importing Ray takes a second.
func rayVersion(ctx context.Context, path string) (string, error) {
	if !isFile(path) {
		return "", fmt.Errorf("%s is not a file", path)
	}
	const query = `import importlib.metadata as m
v = m.version("ray")
for need in ("aiohttp", "opencensus"): m.version(need)
print(v)`
	var stderr strings.Builder
	cmd := pythonCommand(ctx, path, "-c", query)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// pythonCommand returns a command that runs Python in isolated mode (-I): PYTHON* variables and files in the working directory do not
// affect it.
func pythonCommand(ctx context.Context, path string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, path, append([]string{"-I"}, args...)...)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
