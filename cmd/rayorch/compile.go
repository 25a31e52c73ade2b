package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/pipeline/manifest"
)

func compileCommand(a *app) *cobra.Command {
	var o sourceOptions
	var ray rayOptions
	var out string
	var objects bool
	var cloud awsOptions
	c := &cobra.Command{
		Use:   "compile [PIPELINE]",
		Short: "print the definition that a pipeline compiles to, in the Amazon States Language",
		Long: "compile prints the definition that rayorch run would start. With --out, it writes files to a directory instead: " +
			"definition.json, cleanup.json (the state machine that stops the work of an aborted run), for a target of kind kubernetes " +
			"objects.yaml (the objects that it needs in the cluster), and for a target of kind aws template.json (the CloudFormation " +
			"template). With --objects, it prints the Kubernetes objects. The same pipeline file always compiles to the same bytes.",
		Example: "  rayorch compile examples/shakespeare",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			if a.forAWS(o) {
				return a.compileAWS(c.Context(), o, cloud, out, objects)
			}
			return a.compile(o, ray, out, objects)
		},
	}
	o.flags(c)
	ray.flags(c)
	c.Flags().StringVar(&out, "out", "", "directory to write the files to (default: print the definition to stdout)")
	c.Flags().BoolVar(&objects, "objects", false, "print the Kubernetes objects instead of the definition")
	cloud.flags(c)
	return c
}

// compile prints the definition or the Kubernetes objects of a pipeline, or writes all files to the directory out.
func (a *app) compile(o sourceOptions, ray rayOptions, out string, objects bool) error {
	src, err := a.load(o)
	if err != nil {
		return err
	}
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	made, err := src.compile(dir, ray.address)
	if err != nil {
		return err
	}
	if objects && made.Kind == kindLocal {
		return fail(exitUsage, "name a target of kind kubernetes with --target", "the target %s is of kind %s", made.Target, made.Kind)
	}
	needs, err := manifest.YAML(manifest.Objects(made, src.manifestOptions(made)))
	if err != nil {
		return err
	}
	if out == "" {
		text := indented(made.Definition)
		if objects {
			text = needs
		}
		a.out.write(text)
		return nil
	}
	return writeFiles(out, map[string][]byte{
		"definition.json": indented(made.Definition), "cleanup.json": indented(made.Cleanup), "objects.yaml": needs,
	})
}

// writeFiles writes files by name to a directory, which it creates. It leaves out empty files.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if len(text) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// indented formats JSON with two spaces per level and a final newline; nil stays nil.
func indented(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return text
	}
	b.WriteByte('\n')
	return b.Bytes()
}
