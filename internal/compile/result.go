package compile

// Cluster is the EKS cluster of a target of kind aws, as it stands in each task's arguments.
type Cluster struct{ Name, Endpoint, CertificateAuthority string }

// Rule is one permission in the cluster, as in a Role of Kubernetes. It never holds a wildcard.
type Rule struct {
	APIGroups, Resources []string
	Names                []string // resourceNames; none means all of the kind, where names are not known before a run
	Verbs                []string
}

// ConfigMap is a file or more that pods of the pipeline mount. Its name carries a hash of its content, so that a run in
// progress keeps its own when the pipeline changes.
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

// SecretKey is one key of a Kubernetes Secret that must be there before a run.
type SecretKey struct{ Name, Key string }

// Bounds are what the longest run that the pipeline's timeouts allow comes to, in Step Functions' measures.
type Bounds struct {
	// Events are the history's events; Step Functions ends an execution at 25,000.
	Events int
	// Payload is the largest known payload in bytes; Step Functions takes 262,144.
	Payload int
	// Seconds is the longest run; 0 where no timeout bounds it.
	Seconds int64
	// Items is the most items that all for-each loops of unknown length may have together; 0 where there are none.
	Items int
}
