// Package pipeline defines the pipeline file: its types, strict decoding with positions, defaults and checks, and the JSON
// Schema generated from the same types. It does not know state machines: package compile turns a Pipeline into one. The
// package does no I/O; the caller reads the file.
//
// The struct tags of a field are the only source for the decoder, the schema and the documentation:
//
//	yaml  name of the field in the file
//	need  the field is required
//	def   default, written as in the file
//	enum  allowed values, separated by |
//	kind  syntax of a string: name (of a pipeline or step) or ident (of a loop variable)
//	min   lower bound of a number, or minimum length of a list
//	max   upper bound of a number
//	only  kinds of target that have the field, separated by |
//	doc   description, shown by editors and in docs/pipeline.md
package pipeline

// Pipeline is the content of a pipeline file.
type Pipeline struct {
	Version     int          `yaml:"version" need:"1" min:"1" max:"1" doc:"Version of the file format: 1."`
	Name        string       `yaml:"name" need:"1" kind:"name" doc:"The pipeline's name: letters, digits and dashes, at most 40 characters."`
	Description string       `yaml:"description" doc:"What the pipeline does. Shown by list, describe and the console."`
	Timeout     Duration     `yaml:"timeout" doc:"Maximum duration of a run."`
	Params      Map[Param]   `yaml:"params" doc:"Parameters of a run: the execution's input."`
	Storage     Storage      `yaml:"storage" doc:"The directory that steps share."`
	Targets     Map[Target]  `yaml:"targets" doc:"Where the pipeline can run, and the settings of each target."`
	Secrets     Map[Secret]  `yaml:"secrets" doc:"Sources of secrets, never their values. The key is the name of the environment variable that steps get."`
	Steps       []Step       `yaml:"steps" need:"1" min:"1" doc:"The steps of a run. A step runs after the previous one unless after says otherwise."`
	Outputs     Map[Dynamic] `yaml:"outputs" doc:"The run's output. Default: the output of each step, by the step's name."`

	source *source
}

// Param declares a parameter, or a value inside one: an item of a list or a property of an object. Step outputs are declared
// with the same rules.
type Param struct {
	Type        string     `yaml:"type" def:"string" enum:"string|integer|number|boolean|list|object" doc:"Type of the value."`
	Description string     `yaml:"description" doc:"Shown in forms and by describe."`
	Default     *Literal   `yaml:"default" doc:"Value to use if a run has none. A parameter without a default is required."`
	Choices     []Literal  `yaml:"choices" doc:"Allowed values."`
	Min         *float64   `yaml:"min" doc:"Minimum value (integer, number)."`
	Max         *float64   `yaml:"max" doc:"Maximum value (integer, number)."`
	MinLength   *int       `yaml:"minLength" min:"0" doc:"Minimum number of characters (string)."`
	MaxLength   *int       `yaml:"maxLength" min:"0" doc:"Maximum number of characters (string)."`
	Pattern     string     `yaml:"pattern" doc:"Regular expression that the whole value must match (string)."`
	Items       *Param     `yaml:"items" doc:"Type and rules of each item (list)."`
	Properties  Map[Param] `yaml:"properties" doc:"Type and rules of each property (object). A property without a default is required, and other properties are errors."`
}

// Storage is the directory that all steps of a pipeline share.
type Storage struct {
	Path  string `yaml:"path" def:"/mnt/rayorch" doc:"Mount path in pods. A local target uses --storage, its field storage, or a directory in the state directory."`
	Claim string `yaml:"claim" doc:"The PersistentVolumeClaim to mount at path (kubernetes, aws)."`
}

// Secret names the sources of a secret. The value is read when a job starts; each kind of target uses its own source.
type Secret struct {
	Env              string     `yaml:"env" doc:"Environment variable of the process that starts the run (local)."`
	KubernetesSecret *SecretKey `yaml:"kubernetesSecret" doc:"A key of a Kubernetes Secret (kubernetes, aws)."`
	InRayPods        bool       `yaml:"inRayPods" doc:"Ray's pods have the secret as an environment variable of the same name, so rayorch passes no value to Ray (kubernetes, aws)."`
}

// SecretKey names a key of a Kubernetes Secret.
type SecretKey struct {
	Name string `yaml:"name" need:"1" doc:"Name of the Secret."`
	Key  string `yaml:"key" need:"1" doc:"Key in the Secret."`
}
