package compile

import (
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// resources are the amounts that a job requests, as field values: a number, an expression, or nil.
type resources struct {
	cpus, gpus any
	memory     any           // bytes
	scratch    any           // bytes on the node's disk
	custom     *value.Object // Ray's custom resources
}

// rayNames are the fields for the driver's resources in one of Ray's APIs. Tasks and actors reserve resources themselves.
type rayNames struct{ cpus, gpus, memory, custom string }

var (
	taskNames   = rayNames{"NumCpus", "NumGpus", "Memory", "Resources"} // of ray:submitJob
	jobsNames   = rayNames{"entrypoint_num_cpus", "entrypoint_num_gpus", "entrypoint_memory", "entrypoint_resources"}
	rayJobNames = rayNames{"entrypointNumCpus", "entrypointNumGpus", "", "entrypointResources"} // a RayJob has no field for memory
)

// reserve sets the resources that a Ray job's driver reserves.
func (r resources) reserve(o *value.Object, names rayNames) {
	setGiven(o, names.cpus, r.cpus)
	setGiven(o, names.gpus, r.gpus)
	setGiven(o, names.memory, r.memory)
	if r.custom != nil {
		o.Set(names.custom, r.custom)
	}
}

// container returns the resources of a container, in which amounts are strings. Memory and disk are both requests and limits: a node that
// runs out of them can kill any of its pods. GPUs have only limits.
func (r resources) container() *value.Object {
	requests, limits, o := &value.Object{}, &value.Object{}, &value.Object{}
	setGiven(requests, "cpu", amountText(r.cpus))
	for _, f := range []struct {
		name   string
		amount any
	}{{"memory", r.memory}, {"ephemeral-storage", r.scratch}} {
		setGiven(requests, f.name, amountText(f.amount))
		setGiven(limits, f.name, amountText(f.amount))
	}
	setGiven(limits, "nvidia.com/gpu", amountText(r.gpus))
	if requests.Len() > 0 {
		o.Set("requests", requests)
	}
	if limits.Len() > 0 {
		o.Set("limits", limits)
	}
	return o
}

// amountText returns an amount as a string, or nil.
func amountText(v any) any {
	switch v := v.(type) {
	case value.Number:
		return string(v)
	case string: // an expression
		return query.Call("string", query.Inline(v)).Value()
	}
	return nil
}

// setGiven sets a field unless v is nil.
func setGiven(o *value.Object, name string, v any) {
	if v != nil {
		o.Set(name, v)
	}
}

// amount returns an optional number as a field's value, or nil.
func (c *compiler) amount(n *pipeline.Number, in *scope) any {
	if n == nil {
		return nil
	}
	return c.number(n, in)
}

// bytes returns an optional size as a field's value, or nil.
func (c *compiler) bytes(q *pipeline.Quantity, in *scope) any {
	if q == nil {
		return nil
	}
	return c.quantity(q, in)
}
