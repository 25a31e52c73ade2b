package compile

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// Methods by which working directories reach the jobs.
const (
	viaConfigMap   = "configMap"   // the submitter's pod mounts the package and uploads it to Ray
	viaInline      = "inline"      // the entrypoint contains the package and unpacks it
	viaClaim       = "claim"       // a job unpacks the package onto the storage before the first step
	viaObjectStore = "objectStore" // Ray downloads the package
)

const (
	// configMapLimit is the maximum size of a package in a ConfigMap, in bytes: Kubernetes' limit of 1 MiB, minus space for names.
	configMapLimit = 1<<20 - 4096
	// inlineLimit is the maximum size of a package in an entrypoint, in bytes. In base64, it must fit into an argument, which Linux limits
	// to 128 KiB.
	inlineLimit = 48 << 10
)

// workingDir is a packed directory, or a packed module of py_modules.
type workingDir struct {
	Dir
	module    string // name of the module's package in Ray; "" for a working directory
	via       string
	zip       []byte
	hash      string // of zip
	configMap string // name of the ConfigMap that contains the package, or ""
	uri       string // URI in the object store, or ""
	upload    []byte // content of the object in the object store
}

// name returns the name of the package, which depends only on its content.
func (d *workingDir) name() string { return d.hash + ".zip" }

// remote reports whether a working directory is a URL, which Ray downloads itself.
func remote(dir string) bool { return strings.Contains(dir, "://") }

// workingDirOf returns the packed working directory of a job, or nil.
func (c *compiler) workingDirOf(r *pipeline.RayJob) *workingDir {
	if r == nil || r.WorkingDir == "" || remote(r.WorkingDir) {
		return nil
	}
	return c.at.dirs[c.dirKey(r)]
}

// dirKey returns the key in clusterTarget.dirs of a job's working directory.
func (c *compiler) dirKey(r *pipeline.RayJob) string {
	return c.absPath(r.WorkingDir) + "\x00" + strings.Join(excludes(r), "\x00")
}

// excludes returns the patterns in the runtime environment of files to exclude from the package.
func excludes(r *pipeline.RayJob) []string {
	if r.RuntimeEnv == nil {
		return nil
	}
	o, _ := r.RuntimeEnv.Value.(*value.Object)
	list, _ := o.Get("excludes")
	items, _ := list.([]any)
	var out []string
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// packOne packs the working directory of a Ray job, unless it was already packed for another job.
func (c *compiler) packOne(r *pipeline.RayJob, path string) {
	if r == nil || r.WorkingDir == "" || remote(r.WorkingDir) || c.at.dirs[c.dirKey(r)] != nil {
		return
	}
	problem := func(format string, args ...any) {
		c.problems = append(c.problems, c.p.Problem(path, fmt.Sprintf(format, args...)))
	}
	d := &workingDir{Dir: Dir{Path: c.absPath(r.WorkingDir), Excludes: excludes(r)}}
	c.at.dirs[c.dirKey(r)] = d
	if c.at.pack == nil {
		problem("cannot be read: this command has no access to local files")
		return
	}
	var err error
	if d.zip, err = c.at.pack(d.Path, d.Excludes); err != nil {
		problem("%v", err)
		return
	}
	sum := sha256.Sum256(d.zip)
	d.hash = hex.EncodeToString(sum[:])[:32]
	if err := c.chooseVia(d); err != nil {
		problem("%v", err)
		return
	}
	if d.via == viaObjectStore {
		if d.upload, err = below("dir/", d.zip); err != nil {
			problem("%v", err)
			return
		}
	}
	c.at.order = append(c.at.order, c.dirKey(r))
}

// below returns a package in which all files are below dir. If a package that Ray downloads has a single top-level directory, Ray strips
// it. The added directory makes sure that this is never one of the user's.
func below(dir string, data []byte) ([]byte, error) {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		h := f.FileHeader
		h.Name = dir + h.Name
		raw, err := f.OpenRaw()
		if err != nil {
			return nil, err
		}
		entry, err := w.CreateRaw(&h)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(entry, raw); err != nil {
			return nil, err
		}
	}
	err = w.Close() // writes the archive's central directory
	return b.Bytes(), err
}

// chooseVia decides how a directory reaches the jobs: by the target's method, or by the first one that the submission mode and the size of
// the package allow.
func (c *compiler) chooseVia(d *workingDir) error {
	via, uri := "", ""
	if w := c.at.target.WorkingDir; w != nil {
		via, uri = w.Via, w.URI
	}
	if via == "package" {
		via = viaConfigMap
	}
	fits := func(limit int) bool { return len(d.zip) <= limit }
	if via == "" {
		switch {
		case c.at.mode == pipeline.SubmitJob && fits(configMapLimit):
			via = viaConfigMap
		case c.at.mode != pipeline.SubmitJob && fits(inlineLimit):
			via = viaInline
		case c.at.claim != "" && fits(configMapLimit):
			via = viaClaim
		case uri != "":
			via = viaObjectStore
		default:
			return c.tooLarge(d)
		}
	}
	d.via = via
	switch {
	case via == viaConfigMap && c.at.mode != pipeline.SubmitJob:
		return fmt.Errorf("workingDir.via: %s requires submit: job; with submit: %s, use inline, claim or objectStore", via, c.at.mode)
	case via == viaInline && !fits(inlineLimit), (via == viaConfigMap || via == viaClaim) && !fits(configMapLimit):
		return c.tooLarge(d)
	case via == viaClaim && c.at.claim == "":
		return fmt.Errorf("workingDir.via: claim requires storage.claim")
	case via == viaClaim && len(c.at.others) > 0:
		return fmt.Errorf("the claim with the working directory is in one cluster, but steps run in several: use submit: job, or set an object store (the target's workingDir.uri)")
	case via == viaObjectStore && uri == "":
		return fmt.Errorf("workingDir.via: objectStore requires workingDir.uri")
	}
	switch via {
	case viaObjectStore:
		d.uri = strings.TrimSuffix(uri, "/") + "/" + c.p.Name + "/" + d.name()
	case viaClaim:
		c.at.placing = true
		d.configMap = "rayorch-" + c.p.Name + "-dir-" + d.hash[:10]
	case viaConfigMap:
		d.configMap = "rayorch-" + c.p.Name + "-dir-" + d.hash[:10]
	}
	return nil
}

// tooLarge returns the error about a package that is too large.
func (c *compiler) tooLarge(d *workingDir) error {
	return fmt.Errorf("the zipped working directory has %d KiB, which is too large for this submission mode (at most %d KiB with submit: job or a "+
		"claim, %d KiB inline): exclude data with a .rayignore file, or set an object store (the target's workingDir.uri), or copy the "+
		"directory to the storage's claim and change to it in the entrypoint", (len(d.zip)+1023)>>10, configMapLimit>>10, inlineLimit>>10)
}

// placeWorkingDir sets working_dir in a runtime environment if Ray downloads the directory. Otherwise, the entrypoint unpacks it, or the
// submitter uploads it and sets working_dir.
func placeWorkingDir(env *value.Object, s *submission) {
	if s.workingDir != "" && remote(s.workingDir) {
		env.Set("working_dir", query.Plain(s.workingDir))
		return
	}
	if d := s.packages.dir; d != nil && d.via == viaObjectStore {
		env.Set("working_dir", query.Plain(d.uri))
	}
}

// inWorkingDir returns a command that first changes to its working directory, unless Ray does so.
func (c *compiler) inWorkingDir(d *workingDir, command query.Expr) query.Expr {
	if d == nil {
		return command
	}
	switch d.via {
	case viaInline:
		return query.Concat(query.Var("dirs").Get(dirVariable(d)), command)
	case viaClaim:
		return query.Concat(query.Str("cd "+shellQuoted(c.placedAt(d))+" || exit 120\n"), command)
	}
	return command
}

// placedAt returns the path of a working directory on the storage.
func (c *compiler) placedAt(d *workingDir) string {
	return strings.TrimSuffix(c.storage, "/") + "/.rayorch/" + c.p.Name + "/" + d.hash
}

// shellQuoted returns a string as one word for sh.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// dirVariable returns the key of a working directory in the variable dirs (inlineDirs).
func dirVariable(d *workingDir) string { return "d" + d.hash[:8] }

// files returns the ConfigMaps that pods mount, and the uploads to the object store.
func (c *compiler) files() (maps []ConfigMap, uploads []Upload) {
	if c.submits() {
		maps = append(maps, ConfigMap{Name: c.at.scripts, Data: map[string]string{"submit.py": submitScript}})
	}
	named := map[string]bool{}
	for _, key := range c.at.order {
		d := c.at.dirs[key]
		switch {
		case d.configMap != "" && !named[d.configMap]:
			named[d.configMap] = true
			maps = append(maps, ConfigMap{Name: d.configMap, Binary: map[string][]byte{d.name(): d.zip}})
		case d.uri != "" && !named[d.uri]:
			named[d.uri] = true
			uploads = append(uploads, Upload{URI: d.uri, Data: d.upload})
		}
	}
	return maps, uploads
}

// placeFiles adds the state that unpacks working directories onto the storage before the first step. It is built like the state of a step,
// so that a missing claim is reported like any pod that does not start.
func (c *compiler) placeFiles(states *value.Object, next string) {
	state := jobMode{c}.state(placingSubmission())
	state.Set("Output", &value.Object{})
	put(states, "Place files", annotation.State{Role: annotation.Run, Scope: annotation.Files}, follow(state, next))
}

// placeTimeout is the timeout, and the pending timeout, of the job that places files.
const placeTimeout = pipeline.Duration(15 * 60)

// placingJob returns the Job that places files.
func (a *attempts) placingJob() *value.Object {
	c, args := a.c, []any{"place"}
	for _, key := range c.at.order {
		if d := c.at.dirs[key]; d.via == viaClaim {
			args = append(args, filesPath+"/"+d.name(), c.placedAt(d))
		}
	}
	volume := value.Obj("name", "storage", "persistentVolumeClaim", value.Obj("claimName", query.Plain(c.at.claim)))
	mount := value.Obj("name", "storage", "mountPath", query.Plain(c.storage))
	if c.at.pods.SubPath != "" {
		mount.Set("subPath", query.Plain(c.at.pods.SubPath))
	}
	container := query.Object(query.Bind("args", query.Inline(args)),
		query.Bind("volumeMounts", query.Array(submitterPart("container").Get("volumeMounts"), query.Inline(mount))))
	volumes := query.Bind("volumes", query.Array(submitterPart("pod").Get("volumes"), query.Inline(volume)))
	return value.Obj("apiVersion", "batch/v1", "kind", "Job", "metadata", a.metadata(a.v("id")),
		"spec", submitterSpec(a.deadline(), container, volumes).Value())
}

// inlineDirs returns the value of the variable dirs: for each inline working directory, the command that unpacks it and changes to it. The
// command can use Python, because every image with Ray has it.
func (c *compiler) inlineDirs() *value.Object {
	o := &value.Object{}
	for _, key := range c.at.order {
		if d := c.at.dirs[key]; d.via == viaInline {
			o.Set(dirVariable(d), query.Plain(`cd "$(python3 -c 'import base64, io, os, sys, tempfile, zipfile
d = tempfile.mkdtemp(prefix="rayorch-")
z = zipfile.ZipFile(io.BytesIO(base64.b64decode(sys.argv[1])))
z.extractall(d)
for i in z.infolist():
    if i.external_attr >> 16 & 0o111 and not i.is_dir():
        os.chmod(os.path.join(d, i.filename), 0o755)
print(d)' `+base64.StdEncoding.EncodeToString(d.zip)+`)" || exit 120
`))
		}
	}
	return o
}
