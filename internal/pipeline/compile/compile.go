// Package compile turns a pipeline into an Amazon States Language definition for one target. Each step is one top-level state.
// The definition itself computes ids, quoting and defaults in JSONata, so that a start by any client is as safe as one by the
// CLI. The package is pure: the same pipeline and options give the same bytes. It knows task resources only by name. The
// commands and package stack call it; docs/architecture.md ("The compiler") has its layout.
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

// Options say where the definition is to run.
type Options struct {
	// Target names one of the pipeline's targets. Defaults to the file's first one of kind local, or to a plain local one
	// if the file has no targets.
	Target string
	// BaseDir is the pipeline file's directory, absolute: working directories are relative to it.
	BaseDir string
	// StorageDir is the pipeline's storage here. Defaults to the target's, then to the pipeline's path.
	StorageDir string
	// RayAddress takes precedence over the target's. Without either, the engine finds a Ray itself.
	RayAddress string

	// Files reads the files that the pipeline names. Defaults to none: the pipeline then cannot name files for Ray to install.
	Files Files

	// What follows is for targets of kind kubernetes and aws.

	// Submit is the submission mode: job, proxy or rayjob. Defaults to the target's, then to job.
	Submit string
	// Context and Namespace default to the target's, then to the current context and to "default".
	Context, Namespace string
	// RayService is the head's service. Defaults to the target's, then to kuberay-head-svc.
	RayService string
	// Image is the submitter's, JobImage that of plain jobs that name none. They default to the target's.
	Image, JobImage string
	// ServiceAccount is that of the pods. Defaults to the target's.
	ServiceAccount string
	// Claim is mounted as the pipeline's storage. Defaults to the file's.
	Claim string
	// Cluster is the EKS cluster (aws).
	Cluster Cluster
	// Pack zips a directory without what matches the patterns in excludes (as in .gitignore): the same bytes for the same
	// content. It is called only for working directories; the compiler itself reads nothing.
	Pack func(dir string, excludes []string) ([]byte, error)
}

// Result is what a pipeline compiles to.
type Result struct {
	// Definition is the state machine, Cleanup the one that stops what an aborted or timed-out execution left; its
	// input is the EventBridge event of the execution's change of status. Cleanup is nil if nothing can be left.
	Definition, Cleanup []byte
	// Notes say what the target ignores or assumes, and what it does differently from what the file suggests.
	Notes []string
	// Target and Kind are the target's name and kind; Storage is its storage directory.
	Target, Storage string
	Kind            pipeline.TargetKind

	// What follows is set for targets of kind kubernetes and aws.

	// Dirs are the working directories whose packages are in Files, in Uploads or in the definition itself.
	Dirs []Dir

	// Access is what the identity needs that runs the definition and its cleanup machine, and nothing else.
	Access []Rule
	// Needs are the permissions in Access by state.
	Needs []Need
	// Files are the ConfigMaps that pods mount, Uploads what must be in the object store, Secrets what must exist.
	Files   []ConfigMap
	Uploads []Upload
	Secrets []SecretKey
	// Cluster is the kubeconfig's context, "" for the current one, or the EKS cluster's name.
	Namespace, Cluster string
	// Contexts are those of other clusters that steps name: Access, Files and Secrets are needed there, too.
	Contexts []string
	// ServiceAccount is that of the pods, "" for the namespace's default; Claim is mounted as storage.
	ServiceAccount, Claim string
	// Service and Port are where the head's API is; RayCluster is its name if it is known.
	Service, RayCluster string
	Port                int
	// Mode is the submission mode of Ray steps: job, proxy or rayjob.
	Mode pipeline.SubmitMode
	// Image is the submitter's.
	Image string
	// Pods are the security contexts of the pods that a run creates.
	Pods   []PodContext
	Bounds Bounds
}

// Dir is a working directory.
type Dir struct {
	Path     string   // absolute
	Excludes []string // patterns of what is not packed
}

// Compile compiles for one target. An error in the file is pipeline.Problems, with all that was found.
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

// check reports all fields that the target refuses, then reads and packs the files that jobs need.
func (c *compiler) check(target string, o Options) {
	if c.at == nil {
		c.checkSecrets()
		c.eachBody(c.checkBody)
		c.eachBody(c.readBody)
		return
	}
	c.checkTarget(target)
	if !c.at.mode.Known() { // what the steps may say depends on it
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

// inCluster sets what a result says for targets in a cluster.
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

// pick finds the target by name, or the default one.
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
		return "", pipeline.Target{}, fmt.Errorf("no target %s: the file has no targets; use local", name)
	default:
		return "", pipeline.Target{}, fmt.Errorf("no target %s; the file has %s", name, strings.Join(names, ", "))
	}
}

// compiler holds what is known while one pipeline is compiled.
type compiler struct {
	p        *pipeline.Pipeline
	baseDir  string
	storage  string
	address  string
	inherit  any            // which variables of the environment jobs on this machine inherit, as in the definition
	at       *clusterTarget // nil for a target on this machine
	problems pipeline.Problems
	notes    []string
	items    int  // how many items a forEach of unknown length may have on AWS; 0 for no limit
	groups   int  // the number of Parallel states without a step, so far
	ray, job bool // which kinds of work the pipeline does
	secrets  map[string]bool
	steps    map[string]*pipeline.Step // by name, at any depth
	calls    map[*value.Object][]Need  // the needs of states that are not named yet
	needs    []Need

	localFiles Files
	envs       map[*pipeline.RayJob]*value.Object // runtime environments, with what the files hold that they name
}

// newCompiler merges the settings: options take precedence over the target, and the target over the file.
func newCompiler(p *pipeline.Pipeline, t pipeline.Target, o Options) *compiler {
	c := &compiler{p: p, baseDir: o.BaseDir, storage: o.StorageDir, address: o.RayAddress, localFiles: o.Files,
		secrets: map[string]bool{}, steps: map[string]*pipeline.Step{}, calls: map[*value.Object][]Need{}, envs: map[*pipeline.RayJob]*value.Object{}}
	if t.Kind != pipeline.TargetLocal {
		c.at, c.storage = newClusterTarget(p, t, o), p.Storage.Path
		return c
	}
	switch {
	case c.storage != "":
	case t.Storage != "":
		c.storage = c.beside(t.Storage)
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

// beside is a path in the file, which is relative to the file's directory.
func (c *compiler) beside(path string) string {
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
			c.problems = append(c.problems, c.p.Problem("secrets."+e.Key, "needs env to be used by a target of kind local"))
		}
	}
}

// survey records the steps, their kinds of work, and the secrets that they use.
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
	if c.outputsMayLack(top) {
		c.sequence(states, node, top, "Check outputs")
		put(states, "Check outputs", annotation.State{Role: annotation.Outputs},
			value.Obj("Type", "Pass", "Output", value.Obj("missing", c.missingOutputs(top).Value()), "Next", "Give outputs"))
	} else {
		c.sequence(states, node, top, "Give outputs")
	}
	put(states, "Give outputs", annotation.State{Role: annotation.Outputs}, value.Obj("Type", "Succeed", "Output", c.outputs(top)))
	m := value.Obj("Comment", c.comment(), "QueryLanguage", "JSONata", "StartAt", "Read params")
	if t := c.p.Timeout; t > 0 {
		m.Set("TimeoutSeconds", value.Int(t.Seconds()))
	}
	m.Set("States", states)
	return m
}

// outputs is the execution's output.
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

// pretty is indented JSON with its keys in order: people read definitions, and tests compare them byte by byte.
func pretty(v any) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, value.Bytes(v), "", "  "); err != nil {
		panic(fmt.Sprintf("compile: made no JSON: %v", err)) // value.Bytes writes nothing else
	}
	b.WriteByte('\n')
	return b.Bytes()
}
