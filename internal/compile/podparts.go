package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// imageField is a plain job's image.
func (c *compiler) imageField(t task) string {
	if len(t.job.Image.Parts) > 0 {
		return c.textField(t.job.Image, t.in)
	}
	return plain(c.at.jobImage)
}

// resources are what a plain job's container asks for. Memory and disk are limits as well: a node that has too little of
// them kills whom it finds, GPUs know nothing but limits.
func (c *compiler) resources(t task) *value.Object {
	requests, limits := &value.Object{}, &value.Object{}
	number := func(n *pipeline.Number) any {
		if n.Ref != nil {
			return wrap("$string(" + c.ref(n.Ref, t.in, strict) + ")")
		}
		return string(value.Float(n.Value))
	}
	bytes := func(name string, q *pipeline.Quantity) {
		var amount any
		switch {
		case q == nil:
			return
		case q.Ref != nil:
			amount = wrap("$string(" + c.ref(q.Ref, t.in, strict) + ")")
		default:
			amount = fmt.Sprint(q.Bytes)
		}
		requests.Set(name, amount)
		limits.Set(name, amount)
	}
	if t.job.CPUs != nil {
		requests.Set("cpu", number(t.job.CPUs))
	}
	bytes("memory", t.job.Memory)
	bytes("ephemeral-storage", t.job.EphemeralStorage)
	if t.job.GPUs != nil {
		limits.Set("nvidia.com/gpu", number(t.job.GPUs))
	}
	o := &value.Object{}
	if requests.Len() > 0 {
		o.Set("requests", requests)
	}
	if limits.Len() > 0 {
		o.Set("limits", limits)
	}
	return o
}

// storageVolumes are the pipeline's storage and what else a plain job mounts. Without a claim, the storage is scratch space of the pod: in
// the image, only root could create the directory.
func (c *compiler) storageVolumes(j *pipeline.Job) (volumes, mounts []any) {
	byClaim := map[string]string{}
	add := func(claim, path, subPath string, readOnly bool) {
		name, there := byClaim[claim]
		if !there {
			name = fmt.Sprintf("claim-%d", len(byClaim)+1)
			byClaim[claim] = name
			volumes = append(volumes, value.Obj("name", name, "persistentVolumeClaim", value.Obj("claimName", plain(claim))))
		}
		mount := value.Obj("name", name, "mountPath", plain(path))
		if subPath != "" {
			mount.Set("subPath", plain(subPath))
		}
		if readOnly {
			mount.Set("readOnly", true)
		}
		mounts = append(mounts, mount)
	}
	above := func(m pipeline.Mount) bool {
		return strings.HasPrefix(c.storage+"/", strings.TrimSuffix(m.Path, "/")+"/")
	}
	switch {
	case c.at.claim != "":
		add(c.at.claim, c.storage, c.at.pods.SubPath, false)
	case !slices.ContainsFunc(j.Mounts, above):
		volumes = append(volumes, value.Obj("name", "storage", "emptyDir", &value.Object{}))
		mounts = append(mounts, value.Obj("name", "storage", "mountPath", plain(c.storage)))
	}
	for _, m := range j.Mounts {
		add(m.Claim, m.Path, m.SubPath, m.ReadOnly)
	}
	return volumes, mounts
}
