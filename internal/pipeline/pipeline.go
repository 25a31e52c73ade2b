// Package pipeline is the pipeline file: its types, strict decoding with positions, defaults and checks, and the JSON
// Schema made from the same types. It knows nothing of state machines: package compile turns a Pipeline into one. It is
// pure: whoever calls it has read the file.
//
// A field's tags say all that decoder, schema and documentation need: yaml (its name), need (it must be there), def (its
// default, as it would stand in the file), enum (its values, by |), min and max, and doc.
package pipeline

// Pipeline is one whole file.
type Pipeline struct {
	Version     int          `yaml:"version" need:"1" min:"1" max:"1" doc:"The file format's version: 1."`
	Name        string       `yaml:"name" need:"1" kind:"name" doc:"The pipeline's name: letters, digits and dashes, at most 40."`
	Description string       `yaml:"description" doc:"What the pipeline is for; shown by list, describe and the console."`
	Timeout     Duration     `yaml:"timeout" doc:"The longest that one run may take in all."`
	Params      Map[Param]   `yaml:"params" doc:"What a run can be given; the execution's input."`
	Storage     Storage      `yaml:"storage" doc:"Where steps keep files for each other."`
	Targets     Map[Target]  `yaml:"targets" doc:"The places that the pipeline runs at, and what differs between them."`
	Secrets     Map[Secret]  `yaml:"secrets" doc:"Where secrets come from; never their values. The key is the environment variable that a step gets."`
	Steps       []Step       `yaml:"steps" need:"1" min:"1" doc:"What runs. A step runs after the one before it unless after says otherwise."`
	Outputs     Map[Dynamic] `yaml:"outputs" doc:"What the run gives back; by default every step's output by its name."`

	source *source
}

// Param is one thing that a run can be given.
type Param struct {
	Type        string     `yaml:"type" def:"string" enum:"string|integer|number|boolean|list|object" doc:"What the value must be."`
	Description string     `yaml:"description" doc:"Shown in forms and by describe."`
	Default     *Literal   `yaml:"default" doc:"The value where a run gives none; without it the parameter must be given."`
	Choices     []Literal  `yaml:"choices" doc:"The values allowed."`
	Min         *float64   `yaml:"min" doc:"The least value (integer, number)."`
	Max         *float64   `yaml:"max" doc:"The greatest value (integer, number)."`
	MinLength   *int       `yaml:"minLength" min:"0" doc:"The fewest characters (string)."`
	MaxLength   *int       `yaml:"maxLength" min:"0" doc:"The most characters (string)."`
	Pattern     string     `yaml:"pattern" doc:"A regular expression that the whole value must match (string)."`
	Items       *Param     `yaml:"items" doc:"What each item must be (list)."`
	Properties  Map[Param] `yaml:"properties" doc:"What each property must be (object). One without a default must be given; others are refused."`
}

// Storage is the directory that all steps of a pipeline see.
type Storage struct {
	Path  string `yaml:"path" def:"/mnt/rayorch" doc:"Where it is mounted in pods; here it is a directory unless the target or --storage names one."`
	Claim string `yaml:"claim" doc:"The PersistentVolumeClaim that is mounted there (kubernetes, aws)."`
}

// Secret says where a secret's value is found at the last moment; a target uses the source that it can.
type Secret struct {
	Env              string     `yaml:"env" doc:"An environment variable of the process that runs the pipeline (local)."`
	KubernetesSecret *SecretKey `yaml:"kubernetesSecret" doc:"A key of a Kubernetes Secret (kubernetes, aws)."`
	InRayPods        bool       `yaml:"inRayPods" doc:"Ray's pods have the secret as an environment variable of the same name, so rayorch passes no value to Ray; below (kubernetes, aws)."`
}

// SecretKey is one key of a Kubernetes Secret.
type SecretKey struct {
	Name string `yaml:"name" need:"1" doc:"The Secret's name."`
	Key  string `yaml:"key" need:"1" doc:"The key in it."`
}
