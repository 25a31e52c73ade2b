package compile

import (
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"

	"github.com/rayorch/rayorch/internal/pipeline"
)

const (
	// textParams is how many characters of parameters, as JSON, a definition passes to its jobs as variables: each text is then part of
	// the payload twice, and escaped.
	textParams = 20_000
	// maxRuntimeEnv is how many bytes of environment variables, as JSON, Ray can pass to a process: it passes them as one argument, of at
	// most 128 KiB. With more, the job would stay pending.
	maxRuntimeEnv = 118_000
)

// paramsIfLong are the parameters if the environment lacks them, because they have more than textParams characters. The task that
// starts the job turns them into variables and files.
func paramsIfLong() query.Expr {
	return query.If(query.Call("exists", query.Var("env").Get("RAYORCH_PARAMS")), query.Null, query.Var("params"))
}

// paramsOnce reports whether the task that starts the jobs can take the parameters as an object.
func (c *compiler) paramsOnce() bool {
	return len(c.p.Params.Entries) > 0 && (c.at == nil || c.ray && c.at.mode == pipeline.SubmitJob)
}

// maxParams is how many characters parameters may have together, as JSON, in a cluster. The Job of a plain step contains their text
// twice, within the 262,144 bytes of a payload of Step Functions; that of a submitter contains it once; otherwise one environment
// variable of Ray's contains all.
func (c *compiler) maxParams() int {
	switch {
	case c.ray && c.at.mode != pipeline.SubmitJob:
		return 58_000
	case c.job:
		return 120_000
	}
	return 230_000
}

// paramsTooLong is what is wrong with the input, in the variable in, if no job of a cluster could be given its parameters; else nothing.
func (c *compiler) paramsTooLong() query.Expr {
	return query.File("paramstoolong", query.Bind("in", query.Var("in")), query.Bind("largest", largest(query.Var("in"))),
		query.Bind("most", query.Int(int64(c.maxParams()))))
}

// largest is the name and size of the longest value of an object.
func largest(object query.Expr) query.Expr {
	return query.File("largest", query.Bind("object", object))
}

// fitted are environment variables that Ray can pass on. It fails if they are too large, because the job would stay pending.
func fitted(vars query.Expr) query.Expr {
	v := query.Var("vars")
	return query.Block(query.File("fitting", query.Bind("vars", v), query.Bind("largest", largest(v)), query.Bind("most", query.Int(maxRuntimeEnv))),
		query.Bind("vars", vars))
}
