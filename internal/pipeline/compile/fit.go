package compile

import (
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"

	"github.com/rayorch/rayorch/internal/pipeline"
)

const (
	// textParams is the maximum length of the parameters, in characters of JSON, up to which the definition itself creates their
	// environment variables. The payload then contains each value twice, and escaped.
	textParams = 20_000
	// maxRuntimeEnv is the maximum size of environment variables, in bytes of JSON, that Ray can pass to a process: it passes them as one
	// argument of at most 128 KiB. With more, the job would remain pending.
	maxRuntimeEnv = 118_000
)

// paramsIfLong returns the parameters if they are longer than textParams, so that the environment does not contain them, and otherwise
// null. The task that starts the job turns them into variables and files.
func paramsIfLong() query.Expr {
	return query.If(query.Call("exists", query.Var("env").Get("RAYORCH_PARAMS")), query.Null, query.Var("params"))
}

// paramsOnce reports whether the task that starts a job accepts the parameters as an object.
func (c *compiler) paramsOnce() bool {
	return len(c.p.Params.Entries) > 0 && (c.at == nil || c.ray && c.at.mode == pipeline.SubmitJob)
}

// maxParams returns the maximum length of all parameters, in characters of JSON, in a cluster. A plain job's Job contains them twice and
// a submitter's Job once, within the 262,144 bytes of a Step Functions payload. In the other submission modes, an environment variable
// of the Ray job contains all of them.
func (c *compiler) maxParams() int {
	switch {
	case c.ray && c.at.mode != pipeline.SubmitJob:
		return 58_000
	case c.job:
		return 120_000
	}
	return 230_000
}

// paramsTooLong returns the problem of an input, in the variable in, that is too long for jobs in a cluster; it has no value otherwise.
func (c *compiler) paramsTooLong() query.Expr {
	return query.File("paramstoolong", query.Bind("in", query.Var("in")), query.Bind("largest", largest(query.Var("in"))),
		query.Bind("most", query.Int(int64(c.maxParams()))))
}

// largest returns the name and size of the longest value of an object.
func largest(object query.Expr) query.Expr {
	return query.File("largest", query.Bind("object", object))
}

// fitted returns environment variables of a Ray job. It is an error if they exceed maxRuntimeEnv, because the job would remain pending.
func fitted(vars query.Expr) query.Expr {
	v := query.Var("vars")
	return query.Block(query.File("fitting", query.Bind("vars", v), query.Bind("largest", largest(v)), query.Bind("most", query.Int(maxRuntimeEnv))),
		query.Bind("vars", vars))
}
