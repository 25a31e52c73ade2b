package compile

// Cluster is the EKS cluster of a target of kind aws, as in each task's arguments.
type Cluster struct{ Name, Endpoint, CertificateAuthority string }

// Rule is one permission in the cluster, as in a Role of Kubernetes. It never has a wildcard.
type Rule struct {
	APIGroups, Resources []string
	Names                []string // resourceNames; empty for all of the kind, if names are not known before a run
	Verbs                []string
}

// ConfigMap is one or more files that pods of the pipeline mount. Its name contains a hash of its content, so that a run in
// progress keeps its files if the pipeline changes.
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

// SecretKey is one key of a Kubernetes Secret that must exist before a run.
type SecretKey struct{ Name, Key string }

// Bounds are the sizes of the longest run that the pipeline's timeouts allow, as Step Functions measures them.
type Bounds struct {
	// Events are the history's events; Step Functions ends an execution at 25,000.
	Events int
	// Payload is the largest known payload in bytes; Step Functions accepts 262,144.
	Payload int
	// Seconds is the length of the longest run; 0 if no timeout bounds it.
	Seconds int64
	// Items is how many items all forEach loops of unknown length may have together; 0 if there is no such loop.
	Items int
}
