// Package examples embeds the pipelines that are part of the binary: the workload of the published Seed-Farmer module, which
// `rayorch deploy` deploys if no pipeline is named. The package contains data only.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed gptj/published.yaml gptj/published-ray.yaml gptj/train.py gptj/infer.py gptj/lm.py gptj/job.py
var files embed.FS

// Published returns the files of the published workload: two pipelines and their programs.
func Published() fs.FS {
	sub, err := fs.Sub(files, "gptj")
	if err != nil {
		panic(err) // the directory is embedded in the binary
	}
	return sub
}
