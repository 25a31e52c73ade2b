package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// clusterCleanup is the machine that stops what an execution left in a cluster: it deletes its objects by the label that
// all of them bear, a few at a time, for what a list holds must stay under 262,144 bytes; then it stops its Ray jobs by
// what their ids start with.
func (c *compiler) clusterCleanup() []byte {
	states := &value.Object{}
	own := prefix("$states.input.detail.executionArn")
	mark := wrap("$substring(" + own + ", 0, 13)")
	assign := value.Obj("prefix", wrap(own), "mark", mark, "labels", c.labels(mark),
		"annotations", value.Obj("rayorch.dev/execution", "{% $states.input.detail.executionArn %}"))
	if c.at.kind == pipeline.TargetAWS {
		assign.Set("eks", value.Obj("ClusterName", c.at.eks.Name, "CertificateAuthority", c.at.eks.CertificateAuthority, "Endpoint", c.at.eks.Endpoint))
	}
	if c.ray && c.at.way == wayJob { // else no pod stops Ray jobs
		assign.Set("submitter", c.submitter())
	}
	if c.reachesRay() {
		assign.Set("killer", plain(killer))
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
	all := value.Obj("Begin", value.Obj("Type", "Pass", "Assign", assign, "Next", start))
	merge(all, states)
	all.Set("Done", value.Obj("Type", "Succeed"))
	return pretty(value.Obj("Comment", "Stops what an execution of "+c.p.Name+" left when it was aborted or timed out.",
		"QueryLanguage", "JSONata", "StartAt", "Begin", "TimeoutSeconds", value.Int(3600), "States", all))
}

// cleanCluster adds the states that clean one cluster up, and returns the first of them.
func (c *compiler) cleanCluster(states *value.Object, next string) string {
	namespaced := "/namespaces/" + c.at.namespace
	if c.reachesRay() {
		next = c.stopByProxy(states, next)
	}
	if c.ray && c.at.way == wayJob {
		next = c.stopByJob(states, next)
	}
	if c.ray && c.at.way == wayRayJob {
		next = c.deleteAll(states, "RayJob", "/apis/ray.io/v1"+namespaced+"/rayjobs", next)
	}
	if c.job || c.submits() {
		next = c.deleteAll(states, "Job", "/apis/batch/v1"+namespaced+"/jobs", next)
	}
	return next
}

// cleanupRetry goes on for long: nobody else will clean up.
func cleanupRetry(answered ...string) []any {
	rules := []any{}
	if len(answered) > 0 {
		rules = append(rules, value.Obj("ErrorEquals", value.FromGo(answered), "MaxAttempts", value.Int(0)))
	}
	return append(rules, value.Obj("ErrorEquals", []any{stepfn.StatesALL}, "IntervalSeconds", value.Int(2), "MaxAttempts", value.Int(12),
		"BackoffRate", value.Int(2), "MaxDelaySeconds", value.Int(60)))
}

// deleteAll lists the objects of a kind that the execution left, and deletes each, until there are none.
func (c *compiler) deleteAll(states *value.Object, kind, path, next string) string {
	of := c.at.cleanupOf
	list, found, remove, again := "List "+kind+"s"+of, "Look at "+kind+"s"+of, "Delete "+kind+"s"+of, "Wait for "+kind+"s"+of
	kind += of
	ask := c.call("GET", path, value.Obj("labelSelector", []any{wrap("'rayorch.dev/execution=' & $mark")}, "limit", []any{"3"}), nil)
	ask.Set("Retry", cleanupRetry())
	ask.Set("Output", value.Obj("names", wrap("[$states.result.ResponseBody.items[$not($exists(metadata.deletionTimestamp))].metadata.name]"),
		"left", wrap("$count($states.result.ResponseBody.items)")))
	ask.Set("Next", found)
	states.Set(list, ask)
	states.Set(found, value.Obj("Type", "Choice", "Choices", []any{
		value.Obj("Condition", "{% $states.input.left = 0 %}", "Next", next)}, "Default", remove))
	one := c.call("DELETE", wrap(str(path+"/")+" & $states.input"), value.Obj("propagationPolicy", []any{"Background"}), nil)
	one.Set("Retry", cleanupRetry("EKS.404"))
	one.Set("Catch", []any{value.Obj("ErrorEquals", []any{"EKS.404"}, "Next", "Gone "+kind)})
	one.Set("Next", "Gone "+kind)
	body := value.Obj("Delete "+kind, one, "Gone "+kind, value.Obj("Type", "Succeed"))
	states.Set(remove, value.Obj("Type", "Map", "Items", "{% $states.input.names %}",
		"ItemProcessor", processor("Delete "+kind, body), "Next", again))
	states.Set(again, value.Obj("Type", "Wait", "Seconds", value.Int(1), "Next", list))
	return list
}

// stopByJob stops the Ray jobs from a pod: the identity that runs this has no other way to Ray.
func (c *compiler) stopByJob(states *value.Object, next string) string {
	a := &attempts{c: c}
	name := "$prefix & 'stop-' & $substring($hash($states.context.Execution.Id, 'SHA-256'), 0, 10)"
	spec := fmt.Sprintf("$merge([$submitter.job, {'activeDeadlineSeconds': 900, 'template': {'metadata': {'labels': $labels}, "+
		"'spec': $merge([$submitter.pod, {'containers': [$merge([$submitter.container, {'args': %s}])]}])}}])", "['stop-all', $prefix]")
	// Without the label of the execution, or another clean-up would delete it.
	job := value.Obj("apiVersion", "batch/v1", "kind", "Job", "metadata", value.Obj("name", wrap(name),
		"labels", wrap("$sift($labels, function($v, $k) { $k != 'rayorch.dev/execution' })"), "annotations", "{% $annotations %}"), "spec", wrap(spec))
	state := value.Obj("Type", "Task", "Resource", stepfn.EKSRunJob,
		"Arguments", a.c.eksArguments("Namespace", c.at.namespace, "Job", job), "TimeoutSeconds", value.Int(960),
		"Retry", cleanupRetry("EKS.409", stepfn.StatesTimeout),
		"Catch", []any{value.Obj("ErrorEquals", []any{"EKS.409"}, "Next", next)}, "Next", next)
	states.Set("Stop Ray jobs"+c.at.cleanupOf, state)
	return "Stop Ray jobs" + c.at.cleanupOf
}
