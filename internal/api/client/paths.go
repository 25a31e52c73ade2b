package client

// path is one of the paths below /rayorch/v1/, and what a command gets from a server that does not have it.
type path struct {
	method, name string
	lacks        byPlace
}

// byPlace is what a command gets from the owner of a state directory, from a server at --endpoint, and from AWS.
type byPlace [places]lack

// lack is what a command gets from a server that does not have a path.
type lack struct {
	when when
	// message and hint are the error. Without a message, the answer is empty.
	message, hint string
}

// when is the answer that shows that a server lacks a path.
type when int

const (
	// unknown: the server does not know the path (404 of its router, 405). For AWS, which is not asked, every value means the
	// same.
	unknown when = iota
	// notFound: any 404, also for what the path is asked about.
	notFound
	// failed: any unsuccessful answer. Other Step Functions APIs answer an unknown path as they like.
	failed
	// never: the server is not asked, because only the owner of a state directory has the path.
	never
)

// The lacks that several paths share.
var (
	nothing         = lack{}
	nothingFound    = lack{when: notFound}
	nothingAnswered = lack{when: failed}
	notAsked        = lack{when: never}
	// outdated is the error for a path that a command cannot do without; missing fills in the server.
	outdated = lack{message: "the server at {url} ({server}) does not have the path /rayorch/v1/{path}, which this command needs",
		hint: "upgrade the server to the release of this command"}
	noLogs = lack{message: "step functions on aws keeps no logs of jobs", hint: "the jobs' logs are where the target sends them"}
	// The owner of the state directory may have been started before an upgrade.
	oldOwner        = lack{message: "process {pid} (rayorch {version}) owns the state directory and is of an older release, which does not have the path /rayorch/v1/{path}", hint: restart}
	oldOwnerCode    = lack{message: "process {pid} (rayorch {version}) owns the state directory and is of an older release, which cannot run this pipeline", hint: restart}
	oldOwnerSecrets = lack{message: "process {pid} (rayorch {version}) owns the state directory and does not take this run's secrets: {answer}",
		hint: "stop that process, or use another directory with --state-dir"}
)

const restart = "restart that process with this release, or use another directory with --state-dir"

// The paths. TestEachPathHasAMethod compares them with docs/serve.md.
var (
	info          = path{"GET", "info", byPlace{nothing, nothingAnswered, nothing}}
	watch         = path{"GET", "watch", byPlace{oldOwner, outdated, nothing}} // Watch waits instead
	logs          = path{"GET", "logs", byPlace{oldOwner, outdated, noLogs}}
	log           = path{"GET", "log", byPlace{oldOwner, outdated, noLogs}}
	pending       = path{"GET", "pending", byPlace{nothing, nothingAnswered, nothing}}
	aftermath     = path{"GET", "aftermath", byPlace{oldOwner, outdated, nothing}}
	left          = path{"GET", "left", byPlace{oldOwner, outdated, nothing}} // on AWS, the cleanup machine of a stopped execution stops its jobs
	origin        = path{"GET", "origin", byPlace{nothing, nothingFound, nothing}}
	resting       = path{"GET", "resting", byPlace{nothing, nothingAnswered, nothing}}
	resume        = path{"POST", "resume", byPlace{oldOwner, nothingAnswered, nothing}} // none rests there
	code          = path{"GET", "code", byPlace{nothing, nothingAnswered, nothing}}
	nameCode      = path{"POST", "code", byPlace{oldOwnerCode, notAsked, nothing}}
	wantedSecrets = path{"GET", "secrets", byPlace{nothing, notAsked, nothing}}
	giveSecrets   = path{"POST", "secrets", byPlace{oldOwnerSecrets, notAsked, nothing}}
	consoleLink   = path{"POST", "console", byPlace{nothingFound, notAsked, nothing}}
)
