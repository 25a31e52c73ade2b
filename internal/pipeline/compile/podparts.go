package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// imageField returns the image of a plain job.
func (c *compiler) imageField(j *pipeline.Job, in *scope) string {
	if len(j.Image.Parts) > 0 {
		return c.textField(j.Image, in)
	}
	return query.Plain(c.at.jobImage)
}

// storageVolumes returns the volumes of a plain job: the pipeline's storage, and the mounts in the file. Without a claim, the storage is
// scratch space of the pod, because only root could create the directory in the image.
func (c *compiler) storageVolumes(more []pipeline.Mount) (volumes, mounts []any) {
	byClaim := map[string]string{}
	add := func(claim, path, subPath string, readOnly bool) {
		name, there := byClaim[claim]
		if !there {
			name = fmt.Sprintf("claim-%d", len(byClaim)+1)
			byClaim[claim] = name
			volumes = append(volumes, value.Obj("name", name, "persistentVolumeClaim", value.Obj("claimName", query.Plain(claim))))
		}
		mount := value.Obj("name", name, "mountPath", query.Plain(path))
		if subPath != "" {
			mount.Set("subPath", query.Plain(subPath))
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
	case !slices.ContainsFunc(more, above):
		volumes = append(volumes, value.Obj("name", "storage", "emptyDir", &value.Object{}))
		mounts = append(mounts, value.Obj("name", "storage", "mountPath", query.Plain(c.storage)))
	}
	for _, m := range more {
		add(m.Claim, m.Path, m.SubPath, m.ReadOnly)
	}
	return volumes, mounts
}
