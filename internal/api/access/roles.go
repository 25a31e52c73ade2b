package access

// Need returns the role that an action or an endpoint needs, and whether the table lists it. The default is Admin, so that a
// forgotten entry does not grant access.
func Need(what string) (role Role, named bool) {
	if role, named = needs[what]; named {
		return role, true
	}
	return Admin, false
}

var needs = map[string]Role{
	"DescribeActivity":                 Read,
	"DescribeExecution":                Read,
	"DescribeMapRun":                   Read,
	"DescribeStateMachine":             Read,
	"DescribeStateMachineAlias":        Read,
	"DescribeStateMachineForExecution": Read,
	"GetExecutionHistory":              Read,
	"ListActivities":                   Read,
	"ListExecutions":                   Read,
	"ListMapRuns":                      Read,
	"ListStateMachineAliases":          Read,
	"ListStateMachineVersions":         Read,
	"ListStateMachines":                Read,
	"ListTagsForResource":              Read,

	"RedriveExecution":   Run,
	"StartExecution":     Run,
	"StartSyncExecution": Run,
	"StopExecution":      Run,

	"CreateActivity":                 Admin,
	"CreateStateMachine":             Admin,
	"CreateStateMachineAlias":        Admin,
	"DeleteActivity":                 Admin,
	"DeleteStateMachine":             Admin,
	"DeleteStateMachineAlias":        Admin,
	"DeleteStateMachineVersion":      Admin,
	"GetActivityTask":                Admin,
	"PublishStateMachineVersion":     Admin,
	"SendTaskFailure":                Admin,
	"SendTaskHeartbeat":              Admin,
	"SendTaskSuccess":                Admin,
	"TagResource":                    Admin,
	"TestState":                      Admin, // runs a definition of the caller
	"UntagResource":                  Admin,
	"UpdateMapRun":                   Admin,
	"UpdateStateMachine":             Admin,
	"UpdateStateMachineAlias":        Admin,
	"ValidateStateMachineDefinition": Admin,

	"GET /metrics":               Read,
	"GET /rayorch/v1/aftermath":  Read,
	"GET /rayorch/v1/changes":    Read,
	"GET /rayorch/v1/code":       Read,
	"GET /rayorch/v1/counts":     Read,
	"GET /rayorch/v1/executions": Read,
	"GET /rayorch/v1/info":       Read,
	"GET /rayorch/v1/left":       Read,
	"GET /rayorch/v1/log":        Read,
	"GET /rayorch/v1/logs":       Read,
	"GET /rayorch/v1/origin":     Read,
	"GET /rayorch/v1/pending":    Read,
	"GET /rayorch/v1/resting":    Read,
	"GET /rayorch/v1/view":       Read,
	"GET /rayorch/v1/watch":      Read,

	"POST /rayorch/v1/resume": Run,

	"GET /debug/pprof/":        Admin,
	"GET /debug/pprof/profile": Admin,
	"GET /debug/pprof/symbol":  Admin,
	"GET /debug/pprof/trace":   Admin,
	"GET /rayorch/v1/secrets":  Admin, // this and the following three only over the socket
	"POST /rayorch/v1/code":    Admin,
	"POST /rayorch/v1/console": Admin,
	"POST /rayorch/v1/secrets": Admin,
}
