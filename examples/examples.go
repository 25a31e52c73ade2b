// Package examples holds the pipelines that rayorch carries in itself: the published Seed-Farmer module's workload, which
// is what `rayorch deploy` deploys when nobody names a pipeline. It is data, and no place for code.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed gptj/published.yaml gptj/published-ray.yaml gptj/train.py gptj/infer.py gptj/lm.py gptj/job.py
var files embed.FS

// Published are the published workload's files: two pipelines and the programs beside them.
func Published() fs.FS {
	sub, err := fs.Sub(files, "gptj")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}
