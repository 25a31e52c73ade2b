package compile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// Files reads the files on this machine that a pipeline names. The compiler has no other access to files.
type Files interface {
	Stat(path string) (fs.FileInfo, error)
	ReadFile(path string) ([]byte, error)
	// PackModule returns the package of an entry of py_modules, and the package's name in Ray.
	PackModule(path string, excludes []string) (name string, data []byte, err error)
}

// readBody checks the directories of a job, and reads the files that its runtime environment names.
func (c *compiler) readBody(w wanted) {
	switch {
	case w.job != nil && c.at == nil: // in a cluster, the directory is in the image
		c.checkDir(w.job.WorkingDir, w.path+".job.workingDir")
	case w.ray != nil:
		c.checkDir(w.ray.WorkingDir, w.path+".ray.workingDir")
		if w.ray.RuntimeEnv == nil {
			return
		}
		if o, ok := w.ray.RuntimeEnv.Value.(*value.Object); ok {
			f := &envFiles{c: c, ray: w.ray}
			c.envs[w.ray] = f.env(o, w.path+".ray.runtimeEnv")
		}
	}
}

// checkDir reports a directory that is missing.
func (c *compiler) checkDir(dir, path string) {
	if dir == "" || remote(dir) || c.localFiles == nil {
		return
	}
	info, err := c.localFiles.Stat(c.absPath(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.problem(path, "the directory %s does not exist", dir)
	case err != nil:
		c.problem(path, "the directory %s cannot be read: %v", dir, reason(err))
	case !info.IsDir():
		c.problem(path, "%s is not a directory", dir)
	}
}

// reason returns a file system error without its path, which the message already contains.
func reason(err error) error {
	if e, ok := err.(*fs.PathError); ok { //nolint:errorlint // the file system returns it unwrapped
		return e.Err
	}
	return err
}

// problem reports an error at a path of the pipeline file.
func (c *compiler) problem(path, format string, args ...any) {
	c.problems = append(c.problems, c.p.Problem(path, fmt.Sprintf(format, args...)))
}

// envFiles replaces the files that a runtime environment names with their contents, because Ray cannot read files of this machine. Ray's
// own client does the same, but here, relative names are resolved in the working directory, then in the pipeline file's directory.
type envFiles struct {
	c   *compiler
	ray *pipeline.RayJob
}

// env returns the runtime environment with the contents of the files. path is its path in the pipeline file.
func (f *envFiles) env(o *value.Object, path string) *value.Object {
	out := value.NewObject(o.Len())
	for i := range o.Len() {
		key, v := o.At(i)
		at := path + "." + key
		switch key {
		case "pip", "uv":
			v = f.packages(v, at)
		case "conda":
			v = f.conda(v, at)
		case "py_modules":
			v = f.modules(v, at)
		}
		out.Set(key, v)
	}
	return out
}

// find returns the path of a file or a directory on this machine, or "" if it does not exist.
func (f *envFiles) find(name string) (string, fs.FileInfo) {
	var dirs []string
	if dir := f.ray.WorkingDir; dir != "" && !remote(dir) {
		dirs = append(dirs, f.c.absPath(dir))
	}
	for _, dir := range append(dirs, f.c.baseDir) {
		path := name
		if !filepath.IsAbs(name) {
			path = filepath.Join(dir, name)
		}
		if info, err := f.c.localFiles.Stat(path); err == nil {
			return path, info
		}
	}
	return "", nil
}

// missing reports a file or a directory that does not exist.
func (f *envFiles) missing(path, what, name string) {
	where := "in the directory of the pipeline file"
	if dir := f.ray.WorkingDir; dir != "" && !remote(dir) {
		where = "in the working directory " + dir + " or " + where
	}
	if filepath.IsAbs(name) {
		where = "on this machine"
	}
	f.c.problem(path, "the %s %s does not exist %s", what, name, where)
}

// read returns the path and the content of a file.
func (f *envFiles) read(name, what, path string) (string, []byte) {
	if f.c.localFiles == nil {
		f.c.problem(path, "the %s %s cannot be read: this command has no access to local files", what, name)
		return "", nil
	}
	file, _ := f.find(name)
	if file == "" {
		f.missing(path, what, name)
		return "", nil
	}
	data, err := f.c.localFiles.ReadFile(file)
	if err != nil {
		f.c.problem(path, "the %s %s cannot be read: %v", what, name, reason(err))
		return "", nil
	}
	return file, data
}

// packages returns a value of pip or uv. A string is the name of a requirements file.
func (f *envFiles) packages(v any, path string) any {
	switch v := v.(type) {
	case string:
		if f.c.localFiles == nil && f.c.at == nil {
			return v // the task runner reads it
		}
		file, data := f.read(v, "requirements file", path)
		return f.requirements(file, data, path, 0)
	case []any:
		return f.listed(v, path)
	case *value.Object:
		if list, ok := v.Get("packages"); ok {
			out := v.Without("packages")
			out.Set("packages", f.packages(list, path+".packages"))
			return out
		}
	}
	return v
}

// listed returns a list of packages. Items with references are returned as they are: their values are unknown until the run.
func (f *envFiles) listed(list []any, path string) []any {
	out := []any{}
	for i, item := range list {
		line, ok := item.(string)
		if !ok {
			out = append(out, item)
			continue
		}
		out = append(out, f.requirement(line, fmt.Sprintf("%s[%d]", path, i), 0, func(name string) string {
			if f.c.localFiles == nil {
				return ""
			}
			file, _ := f.find(name)
			return file
		})...)
	}
	return out
}

// requirements returns the packages that a requirements file lists. depth is the number of files that include this one.
func (f *envFiles) requirements(file string, data []byte, path string, depth int) []any {
	sameDir := func(name string) string { return filepath.Join(filepath.Dir(file), name) }
	packages, joined := []any{}, ""
	for line := range strings.Lines(string(data)) {
		line = joined + strings.TrimSpace(line)
		if joined = ""; strings.HasSuffix(line, `\`) { // continues on the next line
			joined = strings.TrimSuffix(line, `\`)
			continue
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			packages = append(packages, f.requirement(line, path, depth, sameDir)...)
		}
	}
	if joined != "" {
		packages = append(packages, f.requirement(joined, path, depth, sameDir)...)
	}
	return packages
}

// fileOption matches an option of a requirements file that names a file. archive matches a requirement that may be a local file.
var (
	fileOption = regexp.MustCompile(`^(-[rcef]|--(?:requirement|constraint|editable|find-links))(?:\s*=\s*|\s*)(\S+)`)
	archive    = regexp.MustCompile(`^(\.{1,2}/\S*|[^\s;@]+\.(?:whl|zip|tar\.gz))(?:[\s;].*)?$`)
)

// maxIncluded is the maximum depth of requirements files that include others.
const maxIncluded = 10

// requirement returns a line of a requirements file, or the lines of the file that it includes. resolve returns the path of a relative
// name. Other local files are errors, because Ray cannot read them.
func (f *envFiles) requirement(line, path string, depth int, resolve func(name string) string) []any {
	option, name := "", ""
	if m := fileOption.FindStringSubmatch(line); m != nil {
		option, name = m[1], m[2]
	} else if m := archive.FindStringSubmatch(line); m != nil {
		name = m[1]
	}
	if name == "" || remote(name) || strings.HasPrefix(name, "$") || filepath.IsAbs(name) || f.c.localFiles == nil {
		return []any{line}
	}
	if option != "-r" && option != "--requirement" {
		f.c.problem(path, "%q names a file on this machine, which Ray cannot read: add a wheel or a directory to py_modules, "+
			"or put the file into the working directory and refer to it as ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/%s", line, strings.TrimPrefix(name, "./"))
		return nil
	}
	file := resolve(name)
	data, err := f.c.localFiles.ReadFile(file)
	switch {
	case file == "" || err != nil:
		f.c.problem(path, "the requirements file %s, which %q includes, does not exist", name, line)
		return nil
	case depth == maxIncluded:
		f.c.problem(path, "requirements files include each other at more than %d levels", maxIncluded)
		return nil
	}
	return f.requirements(file, data, path, depth+1)
}

// conda returns a value of conda. A string is the name of an environment, or of a .yaml or .yml file that describes one.
func (f *envFiles) conda(v any, path string) any {
	name, ok := v.(string)
	if !ok {
		return f.condaPackages(v, path, nil)
	}
	if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" || f.c.localFiles == nil && f.c.at == nil {
		return v
	}
	file, data := f.read(name, "conda file", path)
	if data == nil {
		return v
	}
	described, err := pipeline.YAML(data)
	if _, ok := described.(*value.Object); err == nil && !ok {
		err = fmt.Errorf("expected a map with keys such as dependencies")
	}
	if err != nil {
		f.c.problem(path, "the conda file %s: %v", name, err)
		return v
	}
	return f.condaPackages(described, path, func(name string) string { return filepath.Join(filepath.Dir(file), name) })
}

// condaPackages replaces requirements files in the pip list of a conda environment.
func (f *envFiles) condaPackages(v any, path string, resolve func(string) string) any {
	env, ok := v.(*value.Object)
	if !ok {
		return v
	}
	list, _ := env.Get("dependencies")
	items, ok := list.([]any)
	if !ok {
		return v
	}
	items = slices.Clone(items)
	for i, item := range items {
		o, _ := item.(*value.Object)
		pip, _ := o.Get("pip")
		if packages, ok := pip.([]any); ok && resolve == nil {
			items[i] = value.Obj("pip", f.listed(packages, path+".dependencies"))
		} else if ok {
			lines := []any{}
			for _, p := range packages {
				if line, ok := p.(string); ok {
					lines = append(lines, f.requirement(line, path, 0, resolve)...)
				}
			}
			items[i] = value.Obj("pip", lines)
		}
	}
	out := env.Without("dependencies")
	out.Set("dependencies", items)
	return out
}

// modules returns a value of py_modules. For a cluster, the compiler packs local modules; on this machine, the task runner uploads them.
func (f *envFiles) modules(v any, path string) any {
	list, ok := v.([]any)
	if !ok {
		if _, later := v.(pipeline.Template); !later {
			f.c.problem(path, "expected a list of directories, .py files, .whl files and URLs")
		}
		return v
	}
	out := slices.Clone(list)
	for i, item := range list {
		if name, ok := item.(string); ok && !remote(name) {
			out[i] = f.module(name, fmt.Sprintf("%s[%d]", path, i))
		}
	}
	return out
}

// module returns the path of a local module, or for a cluster the URI of its package.
func (f *envFiles) module(name, path string) string {
	if f.c.localFiles == nil {
		if f.c.at != nil {
			f.c.problem(path, "cannot be read: this command has no access to local files")
		}
		return f.c.absPath(name)
	}
	file, info := f.find(name)
	switch ext := filepath.Ext(name); {
	case file == "":
		f.missing(path, "module", name)
	case !info.IsDir() && ext != ".py" && ext != ".whl":
		f.c.problem(path, "%s must be a directory, a .py file or a .whl file", name)
	case f.c.at != nil:
		return f.c.packModule(file, f.ray, path)
	}
	return file
}

// packModule packs an entry of py_modules and returns the URI by which Ray finds it.
func (c *compiler) packModule(file string, r *pipeline.RayJob, path string) string {
	key := "module\x00" + file + "\x00" + strings.Join(excludes(r), "\x00")
	d := c.at.dirs[key]
	if d == nil {
		name, data, err := c.localFiles.PackModule(file, excludes(r))
		if err != nil {
			c.problem(path, "%v", err)
			return file
		}
		sum := sha256.Sum256(data)
		d = &workingDir{module: name, zip: data, hash: hex.EncodeToString(sum[:])[:32]}
		c.at.dirs[key] = d
		c.at.order = append(c.at.order, key)
	}
	if err := c.chooseModuleVia(d); err != nil {
		c.problem(path, "%v", err)
	}
	c.at.modules[r] = append(c.at.modules[r], d)
	if d.uri != "" {
		return d.uri
	}
	return "gcs://" + d.module
}

// chooseModuleVia decides how a module reaches the jobs. Inline is not possible: the entrypoint runs only on the driver's node, but tasks
// and actors on other nodes need the module, too.
func (c *compiler) chooseModuleVia(d *workingDir) (err error) {
	via, uri := "", ""
	if w := c.at.target.WorkingDir; w != nil {
		via, uri = w.Via, w.URI
	}
	switch {
	case c.at.mode == pipeline.SubmitJob && via != viaObjectStore && len(d.zip) <= configMapLimit:
		d.via, d.configMap = viaConfigMap, "rayorch-"+c.p.Name+"-dir-"+d.hash[:10]
	case uri != "":
		d.via, d.uri, d.upload = viaObjectStore, strings.TrimSuffix(uri, "/")+"/"+c.p.Name+"/"+d.module, d.zip
		if !strings.HasSuffix(d.module, ".whl") {
			d.upload, err = below("dir/", d.zip)
		}
	case c.at.mode == pipeline.SubmitJob:
		err = fmt.Errorf("the zipped module must have at most %d KiB to fit into a ConfigMap, got %d KiB: set an object store (the target's workingDir.uri)",
			configMapLimit>>10, (len(d.zip)+1023)>>10)
	default:
		err = fmt.Errorf("submission mode %s cannot upload a module: use submit: job, or set an object store (the target's "+
			"workingDir.uri), or use a URL (s3://, gs:// or https://)", c.at.mode)
	}
	return err
}
