package client

// path is a path below /rayorch/v1/, and what a command gets from a server that does not have it.
type path struct {
	method, name string
	fallbacks    byKind
}

// byKind has the fallback for each kind of server: the owner of a state directory, a server at --endpoint, and AWS.
type byKind [kinds]fallback

// fallback is what a command gets from a server that does not have a path: an empty answer or an error. The zero value is an
// empty answer if the server does not know the path.
type fallback struct {
	when when
	// message and hint are the error. If there is no message, the answer is empty. Client.missing replaces the placeholders.
	message, hint string
}

// when is the condition for using a fallback. It does not matter for AWS, to which no request for these paths is sent.
type when int

const (
	// unknown: the server does not know the path (status 405, or 404 with the text of Go's router).
	unknown when = iota
	// notFound: any 404, so also if the execution does not exist.
	notFound
	// failed: any unsuccessful answer. Other Step Functions APIs answer requests for unknown paths in different ways.
	failed
	// never: no request is sent, because only the owner of a state directory has the path.
	never
)

// The fallbacks.
var (
	empty           = fallback{}
	emptyIfNotFound = fallback{when: notFound}
	emptyOnError    = fallback{when: failed}
	ownerOnly       = fallback{when: never}
	// outdated is for a path that a command cannot do without.
	outdated = fallback{message: "the server at {url} ({server}) does not have the path /rayorch/v1/{path}, which this command needs",
		hint: "upgrade the server to the release of this command"}
	noLogs = fallback{message: "AWS Step Functions does not store the logs of jobs", hint: "read the logs in the place to which the target sends them"}
	// The following are for an owner of the state directory that was started before rayorch was upgraded.
	oldOwner        = fallback{message: oldRelease + "does not have the path /rayorch/v1/{path}", hint: restart}
	oldOwnerCode    = fallback{message: oldRelease + "cannot run this pipeline", hint: restart}
	oldOwnerSecrets = fallback{
		message: "process {pid} (rayorch {version}), which owns the state directory, did not accept this run's secrets: {answer}",
		hint:    "stop that process, or use another directory with --state-dir",
	}
)

// oldRelease is the beginning of the messages about an owner of an older release.
const oldRelease = "process {pid}, which owns the state directory, runs an older release (rayorch {version}), which "

const restart = "restart that process with this release, or use another directory with --state-dir"

// The paths. TestEachPathHasAMethod compares them with docs/serve.md.
var (
	info          = path{"GET", "info", byKind{empty, emptyOnError, empty}}
	watch         = path{"GET", "watch", byKind{oldOwner, outdated, empty}} // on AWS, Watch waits for awsPoll
	logs          = path{"GET", "logs", byKind{oldOwner, outdated, noLogs}}
	log           = path{"GET", "log", byKind{oldOwner, outdated, noLogs}}
	pending       = path{"GET", "pending", byKind{empty, emptyOnError, empty}}
	aftermath     = path{"GET", "aftermath", byKind{oldOwner, outdated, empty}}
	left          = path{"GET", "left", byKind{oldOwner, outdated, empty}} // on AWS, the cleanup machine stops the jobs
	origin        = path{"GET", "origin", byKind{empty, emptyIfNotFound, empty}}
	resting       = path{"GET", "resting", byKind{empty, emptyOnError, empty}}
	resume        = path{"POST", "resume", byKind{oldOwner, emptyOnError, empty}} // other servers drive all executions
	code          = path{"GET", "code", byKind{empty, emptyOnError, empty}}
	nameCode      = path{"POST", "code", byKind{oldOwnerCode, ownerOnly, empty}}
	wantedSecrets = path{"GET", "secrets", byKind{empty, ownerOnly, empty}}
	giveSecrets   = path{"POST", "secrets", byKind{oldOwnerSecrets, ownerOnly, empty}}
	consoleLink   = path{"POST", "console", byKind{emptyIfNotFound, ownerOnly, empty}}
)
