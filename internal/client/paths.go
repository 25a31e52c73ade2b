package client

// path is one of the paths below /rayorch/v1/, by method and name.
type path struct{ method, name string }

var (
	info          = path{"GET", "info"}
	watch         = path{"GET", "watch"}
	logs          = path{"GET", "logs"}
	log           = path{"GET", "log"}
	pending       = path{"GET", "pending"}
	aftermath     = path{"GET", "aftermath"}
	left          = path{"GET", "left"}
	origin        = path{"GET", "origin"}
	resting       = path{"GET", "resting"}
	resume        = path{"POST", "resume"}
	code          = path{"GET", "code"}
	nameCode      = path{"POST", "code"}
	wantedSecrets = path{"GET", "secrets"}
	giveSecrets   = path{"POST", "secrets"}
	consoleLink   = path{"POST", "console"}
)

// lack is what a command gets of a server that does not have a path.
type lack struct {
	when when
	// message and hint are the error. Without a message, the answer is empty.
	message, hint string
}

// when says what shows that a server lacks a path.
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
	// outdated is the error for a path that a command cannot do without; newMissing completes it.
	outdated = lack{message: "the server at {url} ({server}) does not have the path /rayorch/v1/{path}, which this command needs",
		hint: "upgrade the server to the release of this command"}
	noLogs = lack{message: "step functions on aws keeps no logs of jobs", hint: "the jobs' logs are where the target sends them"}
	// The owner of the state directory may run since before an upgrade.
	oldOwner        = lack{message: "process {pid} (rayorch {version}) owns the state directory and is of an older release, which does not have the path /rayorch/v1/{path}", hint: restart}
	oldOwnerCode    = lack{message: "process {pid} (rayorch {version}) owns the state directory and is of an older release, which cannot run this pipeline", hint: restart}
	oldOwnerSecrets = lack{message: "process {pid} (rayorch {version}) owns the state directory and does not take this run's secrets: {answer}",
		hint: "stop that process, or use another directory with --state-dir"}
)

const restart = "restart that process with this release, or use another directory with --state-dir"

// lacks says, for each path, what a command gets where a place lacks it, in the order of the places.
var lacks = map[path][places]lack{
	//             the owner        --endpoint       AWS
	info:          {nothing, nothingAnswered, nothing},
	watch:         {oldOwner, outdated, nothing}, // Watch waits instead
	logs:          {oldOwner, outdated, noLogs},
	log:           {oldOwner, outdated, noLogs},
	pending:       {nothing, nothingAnswered, nothing},
	aftermath:     {oldOwner, outdated, nothing},
	left:          {oldOwner, outdated, nothing}, // the clean-up machine of a stopped execution sees to it
	origin:        {nothing, nothingFound, nothing},
	resting:       {nothing, nothingAnswered, nothing},
	resume:        {oldOwner, nothingAnswered, nothing}, // none rests there
	code:          {nothing, nothingAnswered, nothing},
	nameCode:      {oldOwnerCode, notAsked, nothing},
	wantedSecrets: {nothing, notAsked, nothing},
	giveSecrets:   {oldOwnerSecrets, notAsked, nothing},
	consoleLink:   {nothingFound, notAsked, nothing},
}
