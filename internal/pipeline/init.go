package pipeline

import (
	"bytes"
	"embed"
	"io/fs"
)

//go:embed template
var templateFiles embed.FS

// Init returns the files of a new pipeline with this name, by path. The pipeline runs without changes.
func Init(name string) map[string][]byte {
	files := map[string][]byte{}
	sub, err := fs.Sub(templateFiles, "template")
	if err != nil {
		panic(err) // the directory is embedded in the binary
	}
	_ = fs.WalkDir(sub, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sub, path)
		files[path] = data
		return err
	})
	files["pipeline.yaml"] = bytes.Replace(files["pipeline.yaml"], []byte("NAME"), []byte(name), 1)
	return files
}
