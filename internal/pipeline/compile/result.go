package compile

// Cluster is the EKS cluster of a target of kind aws, as in each task's arguments.
type Cluster struct{ Name, Endpoint, CertificateAuthority string }

// Rule is a rule of a Kubernetes Role. It never contains wildcards.
type Rule struct {
	APIGroups, Resources []string
	Names                []string // resourceNames; empty if the names are known only at run time
	Verbs                []string
}

// ConfigMap contains files that pods of the pipeline mount. Its name includes a hash of the content, so that a change of the pipeline
// does not affect the files of runs in progress.
type ConfigMap struct {
	Name   string
	Data   map[string]string
	Binary map[string][]byte
}

// Upload is a file that must be in the object store before a run.
type Upload struct {
	URI  string
	Data []byte
}

// SecretKey is a key of a Kubernetes Secret that must exist before a run.
type SecretKey struct{ Name, Key string }

// Bounds are the sizes of the longest run that the pipeline's timeouts allow, as Step Functions measures them.
type Bounds struct {
	// Events is the number of events in the history. Step Functions ends an execution at 25,000.
	Events int
	// Payload is the size of the largest known payload in bytes. Step Functions accepts at most 262,144.
	Payload int
	// Seconds is the duration of the longest run, or 0 if no timeout limits it.
	Seconds int64
	// Items is the maximum number of items of each forEach loop of unknown length, or 0 if there is no limit.
	Items int
}
