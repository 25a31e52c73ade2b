// Package compile turns a pipeline into an Amazon States Language definition for one target: JSONata, one top-level
// state a step, ids, quoting and defaults computed by the definition itself, so that a start by any client is as safe
// as one by the CLI. It is pure, and the same pipeline and options give the same bytes. It knows task resources by
// name only; it is called by the CLI and by whoever registers a pipeline as a state machine.
package compile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// Options say where the definition is to run.
type Options struct {
	// Target names one of the pipeline's targets. Defaults to the file's first one of kind local, or to a plain local one
	// where the file has no targets.
	Target string
	// BaseDir is the pipeline file's directory, absolute: working directories stand beside it.
	BaseDir string
	// StorageDir is the pipeline's storage here. Defaults to the target's, then to the pipeline's path.
	StorageDir string
	// RayAddress goes before the target's. Defaults to the target's; without one the engine finds a Ray itself.
	RayAddress string

	// Files reads what the pipeline names beside its file. Defaults to none: then it may name no files for Ray to install.
	Files Files

	// What follows is for targets of kind kubernetes and aws.

	// Submit is the way of submitting: job, proxy or rayjob. Defaults to the target's, then to job.
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
	// Pack zips a directory without what excludes (patterns as in .gitignore) name, the same bytes for the same content.
	// It is asked only for working directories, so that compiling itself reads nothing.
	Pack func(dir string, excludes []string) ([]byte, error)
}

// Result is what a pipeline compiles to.
type Result struct {
	// Definition is the state machine, Cleanup the one that stops what an aborted or timed-out execution left; its
	// input is the EventBridge event of the execution's change of status. Cleanup is nil where nothing can be left.
	Definition, Cleanup []byte
	// Notes tell the user what the target does otherwise than the file may suggest.
	Notes []string
	// Target and Kind are the target's name and kind; Storage is its storage directory.
	Target, Storage string
	Kind            pipeline.TargetKind

	// What follows is set for targets of kind kubernetes and aws.

	// Dirs are the working directories whose packages are in Files, in Uploads or in the definition itself.
	Dirs []Dir

	// Access is what the identity needs that runs the definition and its clean-up machine, as narrow as the way allows.
	Access []Rule
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
	// Service and Port are where the head's API is; RayCluster is its name where it is known.
	Service, RayCluster string
	Port                int
	// Way is how Ray steps are submitted: job, proxy or rayjob.
	Way pipeline.SubmitMode
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

// Compile compiles for one target. An error that lies in the file is pipeline.Problems.
func Compile(p *pipeline.Pipeline, o Options) (*Result, error) {
	name, target, err := pick(p, o.Target)
	if err != nil {
		return nil, err
	}
	c := newCompiler(p, target, o)
	c.survey(p.Steps)
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

// check reports what the target rules out, and packs what must travel.
func (c *compiler) check(target string, o Options) {
	if c.at == nil {
		c.checkSecrets()
		c.readAll(c.p.Steps, "steps")
		return
	}
	c.checkPlace(target)
	c.checkClusterSecrets()
	c.checkSteps(c.p.Steps, "steps")
	c.notePlace(o)
	c.noteRaySecrets()
	if len(c.problems) == 0 {
		c.limitItems()
		c.readAll(c.p.Steps, "steps")
	}
	if len(c.problems) == 0 {
		c.packAll(c.p.Steps, "steps")
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
	r.Access, r.Secrets, r.Pods = c.access(), c.secretKeys(), c.podContexts()
	r.Namespace, r.ServiceAccount, r.Claim = at.namespace, at.account, at.claim
	r.Cluster = at.context
	if at.kind == pipeline.TargetAWS {
		r.Cluster = at.eks.Name
	}
	r.Contexts = at.others
	r.Service, r.RayCluster, r.Port, r.Way, r.Image = at.service, at.rayCluster, at.port, at.way, at.image
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
	inherit  any    // what jobs inherit of the environment here, as the definition has it
	at       *place // a target in a cluster; nil for one on this machine
	problems pipeline.Problems
	notes    []string
	items    int  // how many items a for-each of unknown length may have on AWS; 0 for no limit
	groups   int  // Parallel states that stand for no step, so far
	ray, job bool // which kinds of work the pipeline does
	secrets  map[string]bool
	steps    map[string]*pipeline.Step // by name, at any depth

	localFiles Files
	envs       map[*pipeline.RayJob]*value.Object // runtime environments, with what the files hold that they name
}

// newCompiler settles what options, target and file say of the same thing, in this order.
func newCompiler(p *pipeline.Pipeline, t pipeline.Target, o Options) *compiler {
	c := &compiler{p: p, baseDir: o.BaseDir, storage: o.StorageDir, address: o.RayAddress, localFiles: o.Files,
		secrets: map[string]bool{}, steps: map[string]*pipeline.Step{}, envs: map[*pipeline.RayJob]*value.Object{}}
	if t.Kind != pipeline.TargetLocal {
		c.at, c.storage = newPlace(p, t, o), p.Storage.Path
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

// beside is a path of the file's, seen from its directory.
func (c *compiler) beside(path string) string {
	if filepath.IsAbs(path) || strings.Contains(path, "://") {
		return path
	}
	return filepath.Join(c.baseDir, path)
}

// note keeps something to tell the user.
func (c *compiler) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// checkSecrets reports secrets that a step uses and that this machine has no way to.
func (c *compiler) checkSecrets() {
	for _, e := range c.p.Secrets.Entries {
		if c.secrets[e.Key] && e.Value.Env == "" {
			c.problems = append(c.problems, c.p.Problem("secrets."+e.Key, "needs env to be used by a target of kind local"))
		}
	}
}

// survey notes the steps, which kinds of work they do and which secrets they use, at any depth.
func (c *compiler) survey(steps []pipeline.Step) {
	for i := range steps {
		s := &steps[i]
		c.steps[s.Name] = s
		bodies := []body{{s.Ray, s.Job}}
		if s.OnFailure != nil {
			bodies = append(bodies, body{s.OnFailure.Ray, s.OnFailure.Job})
		}
		for _, b := range bodies {
			c.ray, c.job = c.ray || b.ray != nil, c.job || b.job != nil
			for _, name := range b.secrets() {
				c.secrets[name] = true
			}
		}
		c.survey(s.Children())
	}
}

// machine is the whole definition.
func (c *compiler) machine() *value.Object {
	states := &value.Object{}
	top := &scope{}
	node := c.arrange(c.p.Steps, true)
	c.paramStates(states, c.entry(node))
	if c.outputsMayLack(top) {
		c.sequence(states, node, top, "Check outputs")
		states.Set("Check outputs", value.Obj("Type", "Pass", "Output", value.Obj("missing", wrap(c.missingOutputs(top))), "Next", "Give outputs"))
	} else {
		c.sequence(states, node, top, "Give outputs")
	}
	states.Set("Give outputs", value.Obj("Type", "Succeed", "Output", c.outputs(top)))
	m := value.Obj("Comment", c.comment(), "QueryLanguage", "JSONata", "StartAt", "Read params")
	if t := c.p.Timeout; t > 0 {
		m.Set("TimeoutSeconds", value.Int(t.Seconds()))
	}
	m.Set("States", states)
	return m
}

// outputs is what the execution gives back.
func (c *compiler) outputs(top *scope) any {
	if len(c.p.Outputs.Entries) == 0 {
		return wrap(record(top.names, top))
	}
	o := &value.Object{}
	for _, e := range c.p.Outputs.Entries {
		o.Set(e.Key, c.dynamic(e.Value.Value, top, lenient))
	}
	return o
}

// pretty is JSON for people, its keys in order: definitions are read, and compared byte by byte.
func pretty(v any) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, value.Bytes(v), "", "  "); err != nil {
		panic(fmt.Sprintf("compile: made no JSON: %v", err)) // value.Bytes writes nothing else
	}
	b.WriteByte('\n')
	return b.Bytes()
}
