package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// clusterCleanup returns the state machine that stops the work of an execution in a cluster, or nil if there is none to stop. It deletes
// the objects with the execution's label, a few at a time because a list must be smaller than 262,144 bytes. Then it stops the Ray jobs,
// which it finds by the prefix of their ids.
func (c *compiler) clusterCleanup() []byte {
	states := &value.Object{}
	mark := executionMark(aborted).Value()
	assign := value.Obj("prefix", abortedPrefix(), "mark", mark, "labels", c.labels(mark),
		"annotations", value.Obj("rayorch.dev/execution", aborted.Value()))
	if c.at.kind == pipeline.TargetAWS {
		assign.Set("eks", value.Obj("ClusterName", c.at.eks.Name, "CertificateAuthority", c.at.eks.CertificateAuthority, "Endpoint", c.at.eks.Endpoint))
	}
	if c.ray && c.at.mode == pipeline.SubmitJob { // only then does a pod stop Ray jobs
		assign.Set("submitter", c.submitter())
	}
	if c.reachesRay() {
		assign.Set("killer", query.Plain(killer))
	}
	start := "Done"
	for i, context := range append([]string{""}, c.at.others...) {
		c.at.stepContext, c.at.cleanupOf = context, ""
		if i > 0 {
			c.at.cleanupOf = fmt.Sprintf(" in cluster %d", i+1)
		}
		start = c.cleanCluster(states, start)
	}
	c.at.stepContext = ""
	if start == "Done" {
		return nil
	}
	all := &value.Object{}
	c.putCleanup(all, "Begin", value.Obj("Type", "Pass", "Assign", assign, "Next", start))
	merge(all, states)
	c.putCleanup(all, "Done", value.Obj("Type", "Succeed"))
	return pretty(value.Obj("Comment", "Stops what an execution of "+c.p.Name+" left when it was aborted or timed out.",
		"QueryLanguage", "JSONata", "StartAt", "Begin", "TimeoutSeconds", value.Int(3600), "States", all))
}

// cleanCluster adds the states that clean up one cluster, and returns the name of the first one.
func (c *compiler) cleanCluster(states *value.Object, next string) string {
	for _, m := range c.modes() { // the states of a later mode run first: plain jobs and submitters stop before Ray jobs
		next = m.cleanUp(states, next)
	}
	return next
}

// putCleanup adds a state to the cleanup machine and records the permissions that its call needs.
func (c *compiler) putCleanup(states *value.Object, name string, state *value.Object) {
	put(states, name, cleanupState, state)
	c.named(name, state)
}

// cleanupRetry returns a Retry of all errors except answered. It retries for about eight minutes, because nothing else cleans up.
func cleanupRetry(answered ...string) []any {
	rules := []any{}
	if len(answered) > 0 {
		rules = append(rules, value.Obj("ErrorEquals", value.FromGo(answered), "MaxAttempts", value.Int(0)))
	}
	return append(rules, value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "IntervalSeconds", value.Int(2), "MaxAttempts", value.Int(12),
		"BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(60)))
}

// deleteAll adds the states that list the execution's objects of a kind and delete them, until there are none.
func (c *compiler) deleteAll(states *value.Object, kind string, need Permission, next string) string {
	of := c.at.cleanupOf
	list, found, remove, again := "List "+kind+"s"+of, "Check "+kind+"s"+of, "Delete "+kind+"s"+of, "Wait for "+kind+"s"+of
	kind += of
	ask := c.list(need, value.Obj("labelSelector", []any{query.Concat(query.Str("rayorch.dev/execution="), query.Var("mark")).Value()},
		"limit", []any{"3"}))
	ask.Set("Retry", cleanupRetry())
	left := query.Call("count", query.States("result", "ResponseBody", "items"))
	ask.Set("Output", value.Obj("names", query.File("undeleted").Value(), "left", left.Value()))
	ask.Set("Next", found)
	c.putCleanup(states, list, ask)
	c.putCleanup(states, found, value.Obj("Type", "Choice", "Choices", []any{
		when(query.Eq(query.States("input", "left"), query.Int(0)), next)}, "Default", remove))
	one := c.remove(need, query.States("input"), "Background")
	one.Set("Retry", cleanupRetry("EKS.404"))
	one.Set("Catch", []any{value.Obj("ErrorEquals", []any{"EKS.404"}, "Next", "Gone "+kind)})
	one.Set("Next", "Gone "+kind)
	body := &value.Object{}
	c.putCleanup(body, "Delete "+kind, one)
	c.putCleanup(body, "Gone "+kind, value.Obj("Type", "Succeed"))
	c.putCleanup(states, remove, value.Obj("Type", "Map", "Items", query.States("input", "names").Value(),
		"ItemProcessor", processor("Delete "+kind, body), "Next", again))
	c.putCleanup(states, again, value.Obj("Type", "Wait", "Seconds", value.Int(1), "Next", list))
	return list
}

// stopByJob adds the state that stops the Ray jobs from a pod, because the state machine's identity cannot reach Ray.
func (c *compiler) stopByJob(states *value.Object, next string) string {
	name := query.Concat(query.Var("prefix"), query.Str("stop-"), hashed10(executionID))
	args := query.Array(query.Str("stop-all"), query.Var("prefix"))
	// The Job does not have the execution label: otherwise another cleanup of the same execution would delete it.
	other := query.Function(query.Op(query.Var("k"), "!=", query.Str("rayorch.dev/execution")), "v", "k")
	job := value.Obj("apiVersion", "batch/v1", "kind", "Job", "metadata", value.Obj("name", name.Value(),
		"labels", query.Call("sift", runLabels, other).Value(), "annotations", query.Var("annotations").Value()),
		"spec", submitterSpec(900, query.Object(query.Bind("args", args))).Value())
	state := c.runJob(job)
	state.Set("TimeoutSeconds", value.Int(960))
	state.Set("Retry", cleanupRetry("EKS.409", stepfn.StatesTimeout))
	state.Set("Catch", []any{value.Obj("ErrorEquals", []any{"EKS.409"}, "Next", next)})
	state.Set("Next", next)
	c.putCleanup(states, "Stop Ray jobs"+c.at.cleanupOf, state)
	return "Stop Ray jobs" + c.at.cleanupOf
}
