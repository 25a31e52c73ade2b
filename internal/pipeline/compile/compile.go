// Package compile turns a pipeline into an Amazon States Language definition for one target. Each step becomes one top-level
// state. The definition computes ids, quoting and defaults itself, in JSONata: a run is equally safe whether the CLI or any other
// client starts it. The package is deterministic and does no I/O except through Options; it knows task resources only by name.
// The commands and package stack call it. For its design, see "The compiler" in docs/architecture.md.
package compile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/annotation"
	"github.com/rayorch/rayorch/internal/value"
)

// Options are the settings of a compilation. Except for Target and BaseDir, they take precedence over those of the target.
type Options struct {
	// Target is the name of a target in the file. Defaults to the first target of kind local, then to the first target. A file
	// without targets has one, named local.
	Target string
	// BaseDir is the absolute path of the pipeline file's directory. Paths in the file are relative to it.
	BaseDir string
	// StorageDir is the directory of the pipeline's storage on this machine. Defaults to the target's, then to the pipeline's path.
	StorageDir string
	// RayAddress is the address of Ray. If neither it nor the target's is set, the engine finds or starts a Ray.
	RayAddress string

	// Files reads the files that the pipeline names. If it is nil, the pipeline cannot name files for Ray to install.
	Files Files

	// The fields below apply to targets of kind kubernetes and aws.

	// Submit is the submission mode: job, proxy or rayjob. Defaults to the target's, then to job.
	Submit string
	// Context and Namespace default to the target's, then to the current context and to "default".
	Context, Namespace string
	// RayService is the Service of the Ray head. Defaults to the target's, then to kuberay-head-svc.
	RayService string
	// Image is the image of submitters, JobImage that of plain jobs without an image. They default to the target's.
	Image, JobImage string
	// ServiceAccount is the service account of the pods. Defaults to the target's.
	ServiceAccount string
	// Claim is the volume claim that is mounted as the pipeline's storage. Defaults to the file's.
	Claim string
	// Cluster is the EKS cluster (aws).
	Cluster Cluster
	// Pack returns a zip archive of a directory without the files that match the patterns in excludes (as in .gitignore). It must
	// return the same bytes for the same content. The compiler calls it for working directories only.
	Pack func(dir string, excludes []string) ([]byte, error)
}

// Result is a compiled pipeline.
type Result struct {
	// Definition is the state machine. Cleanup is the state machine that stops the work of an execution that was aborted or timed
	// out; its input is the EventBridge event of the execution's status change. Cleanup is nil if there can be no such work.
	Definition, Cleanup []byte
	// Notes are messages for the user: what the target ignores or assumes, and what it does differently than the file suggests.
	Notes []string
	// Target and Kind are the target's name and kind. Storage is its storage directory.
	Target, Storage string
	Kind            pipeline.TargetKind

	// The fields below are set for targets of kind kubernetes and aws.

	// Dirs are the working directories whose packages are in Files, in Uploads or in the definition itself.
	Dirs []Dir

	// Access has exactly the permissions that the identity needs that runs the definition and its cleanup machine.
	Access []Rule
	// Needs are the permissions in Access, by state.
	Needs []Permission
	// Files are the ConfigMaps that pods mount, Uploads the objects that must be in the object store, and Secrets the keys of
	// Secrets that must exist.
	Files   []ConfigMap
	Uploads []Upload
	Secrets []SecretKey
	// Cluster is the context in the kubeconfig ("" for the current one), or the name of the EKS cluster.
	Namespace, Cluster string
	// Contexts are the contexts of other clusters that steps name. Access, Files and Secrets are also needed in these clusters.
	Contexts []string
	// ServiceAccount is the service account of the pods ("" for the namespace's default). Claim is mounted as storage.
	ServiceAccount, Claim string
	// Service and Port are the address of the Ray head's API. RayCluster is the name of the RayCluster, if it is known.
	Service, RayCluster string
	Port                int
	// Mode is the submission mode of Ray steps: job, proxy or rayjob.
	Mode pipeline.SubmitMode
	// Image is the image of submitters.
	Image string
	// Pods are the security contexts of the pods that a run creates.
	Pods   []PodContext
	Bounds Bounds
}

// Dir is a working directory.
type Dir struct {
	Path     string   // absolute
	Excludes []string // patterns of files that are not packed
}

// Compile compiles a pipeline for one target. If the file has errors, it returns all of them as pipeline.Problems.
func Compile(p *pipeline.Pipeline, o Options) (*Result, error) {
	name, target, err := pick(p, o.Target)
	if err != nil {
		return nil, err
	}
	c := newCompiler(p, target, o)
	c.survey()
	c.check(name, o)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	definition := c.machine()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	r := &Result{Definition: pretty(definition), Cleanup: c.cleanup(), Target: name, Kind: target.Kind, Storage: c.storage}
	if c.at != nil {
		c.inCluster(r)
		r.Bounds = c.bounds(definition)
		c.noteEvents(r.Bounds)
	}
	r.Notes = c.notes
	return r, nil
}

// check reports all fields that the target does not support, then reads and packs the files that jobs need.
func (c *compiler) check(target string, o Options) {
	if c.at == nil {
		c.checkSecrets()
		c.eachBody(c.checkBody)
		c.eachBody(c.readBody)
		return
	}
	c.checkTarget(target)
	if !c.at.mode.Known() { // the checks of steps depend on the mode
		return
	}
	c.checkClusterSecrets()
	eachStep(c.p.Steps, "steps", c.checkContext)
	c.eachBody(c.checkBody)
	c.noteTarget(o)
	c.noteRaySecrets()
	if len(c.problems) == 0 {
		c.limitItems()
		c.eachBody(c.readBody)
	}
	if len(c.problems) == 0 {
		c.eachBody(func(w wanted) { c.packOne(w.ray, w.path+".ray.workingDir") })
		c.at.scripts = hashed("rayorch-"+c.p.Name+"-submit", []byte(submitScript))
	}
}

// inCluster sets the fields of a result that apply to targets in a cluster.
func (c *compiler) inCluster(r *Result) {
	at := c.at
	r.Files, r.Uploads = c.files()
	for _, key := range at.order {
		if d := at.dirs[key]; d != nil {
			r.Dirs = append(r.Dirs, d.Dir)
		}
	}
	r.Needs, r.Access, r.Secrets, r.Pods = c.needs, c.access(), c.secretKeys(), c.podContexts()
	r.Namespace, r.ServiceAccount, r.Claim = at.namespace, at.account, at.claim
	r.Cluster = at.context
	if at.kind == pipeline.TargetAWS {
		r.Cluster = at.eks.Name
	}
	r.Contexts = at.others
	r.Service, r.RayCluster, r.Port, r.Mode, r.Image = at.service, at.rayCluster, at.port, at.mode, at.image
}

// pick returns the target with the name, or the default target if name is "".
func pick(p *pipeline.Pipeline, name string) (string, pipeline.Target, error) {
	if t, ok := p.Targets.Get(name); ok {
		return name, t, nil
	}
	switch names := p.Targets.Keys(); {
	case len(names) == 0 && (name == "" || name == "local"):
		return "local", pipeline.Target{Kind: pipeline.TargetLocal}, nil
	case name == "":
		for _, e := range p.Targets.Entries {
			if e.Value.Kind == pipeline.TargetLocal {
				return e.Key, e.Value, nil
			}
		}
		return names[0], p.Targets.Entries[0].Value, nil
	case len(names) == 0:
		return "", pipeline.Target{}, fmt.Errorf("unknown target %q: the file has no targets; use local", name)
	default:
		return "", pipeline.Target{}, fmt.Errorf("unknown target %q; expected one of %s", name, strings.Join(names, ", "))
	}
}

// compiler has the state of one compilation.
type compiler struct {
	p        *pipeline.Pipeline
	baseDir  string
	storage  string
	address  string         // of Ray; "" if the engine finds or starts one
	inherit  any            // InheritEnv.Value of a target on this machine
	at       *clusterTarget // nil for a target on this machine
	problems pipeline.Problems
	notes    []string
	items    int                            // maximum number of items of a forEach of unknown length on AWS; 0 for no limit
	groups   int                            // number of Parallel states without a step, so far
	ray, job bool                           // whether the pipeline has Ray jobs and plain jobs
	secrets  map[string]bool                // names of the secrets that steps use
	steps    map[string]*pipeline.Step      // by name, at any depth
	calls    map[*value.Object][]Permission // needs of states that do not have a name yet
	needs    []Permission

	localFiles Files
	envs       map[*pipeline.RayJob]*value.Object // runtime environments, with file names replaced by the contents
}

// newCompiler merges the settings: options take precedence over the target, and the target over the file.
func newCompiler(p *pipeline.Pipeline, t pipeline.Target, o Options) *compiler {
	c := &compiler{p: p, baseDir: o.BaseDir, storage: o.StorageDir, address: o.RayAddress, localFiles: o.Files,
		secrets: map[string]bool{}, steps: map[string]*pipeline.Step{}, calls: map[*value.Object][]Permission{}, envs: map[*pipeline.RayJob]*value.Object{}}
	if t.Kind != pipeline.TargetLocal {
		c.at, c.storage = newClusterTarget(p, t, o), p.Storage.Path
		return c
	}
	switch {
	case c.storage != "":
	case t.Storage != "":
		c.storage = c.absPath(t.Storage)
	default:
		c.storage = p.Storage.Path
	}
	if c.address == "" {
		c.address = t.Ray.Address
	}
	c.inherit = t.InheritEnv.Value()
	if c.address == "auto" {
		c.address = ""
	}
	return c
}

// absPath returns the absolute path of a path in the pipeline file. URLs are returned as they are.
func (c *compiler) absPath(path string) string {
	if filepath.IsAbs(path) || strings.Contains(path, "://") {
		return path
	}
	return filepath.Join(c.baseDir, path)
}

// note adds a note for the user.
func (c *compiler) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// checkSecrets reports secrets that a step uses and that have no source on this machine.
func (c *compiler) checkSecrets() {
	for _, e := range c.p.Secrets.Entries {
		if c.secrets[e.Key] && e.Value.Env == "" {
			c.problems = append(c.problems, c.p.Problem("secrets."+e.Key, "must have env, because a step uses it in a target of kind local"))
		}
	}
}

// survey records the steps, their kinds of jobs, and the secrets that they use.
func (c *compiler) survey() {
	eachStep(c.p.Steps, "steps", func(s *pipeline.Step, _ string) { c.steps[s.Name] = s })
	c.eachBody(func(w wanted) {
		c.ray, c.job = c.ray || w.ray != nil, c.job || w.job != nil
		for _, name := range w.secrets() {
			c.secrets[name] = true
		}
	})
}

// machine builds the definition.
func (c *compiler) machine() *value.Object {
	states := &value.Object{}
	top := &scope{}
	node := c.arrange(c.p.Steps, true)
	c.paramStates(states, c.entry(node))
	if c.outputsMayBeMissing(top) {
		c.sequence(states, node, top, "Check outputs")
		put(states, "Check outputs", annotation.State{Role: annotation.Outputs},
			value.Obj("Type", "Pass", "Output", value.Obj("missing", c.missingOutputs(top).Value()), "Next", "Return outputs"))
	} else {
		c.sequence(states, node, top, "Return outputs")
	}
	put(states, "Return outputs", annotation.State{Role: annotation.Outputs}, value.Obj("Type", "Succeed", "Output", c.outputs(top)))
	m := value.Obj("Comment", c.comment(), "QueryLanguage", "JSONata", "StartAt", "Read params")
	if t := c.p.Timeout; t > 0 {
		m.Set("TimeoutSeconds", value.Int(t.Seconds()))
	}
	m.Set("States", states)
	return m
}

// outputs returns the execution's output as a field's value.
func (c *compiler) outputs(top *scope) any {
	if len(c.p.Outputs.Entries) == 0 {
		return outputsOf(top.names, top).Value()
	}
	o := &value.Object{}
	for _, e := range c.p.Outputs.Entries {
		o.Set(e.Key, c.dynamic(e.Value.Value, top, lenient))
	}
	return o
}

// pretty returns indented JSON with the keys in order: people read definitions, and tests compare their bytes.
func pretty(v any) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, value.Bytes(v), "", "  "); err != nil {
		panic(fmt.Sprintf("compile: %v", err)) // value.Bytes always returns valid JSON
	}
	b.WriteByte('\n')
	return b.Bytes()
}
