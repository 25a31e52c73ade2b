package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (a *app) compileCommand() *cobra.Command {
	var o sourceOptions
	var ray rayOptions
	var out string
	c := &cobra.Command{
		Use:   "compile [PIPELINE]",
		Short: "print the state machine that a pipeline becomes, in the Amazon States Language",
		Long: "compile prints the definition that run would start. With --out it writes definition.json and cleanup.json (the\n" +
			"machine that stops what an aborted run left) into a directory. The same file gives the same bytes.",
		Example: "  rayorch compile examples/shakespeare",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.compile(o, ray, out)
		},
	}
	o.flags(c)
	ray.flags(c)
	c.Flags().StringVar(&out, "out", "", "directory to write to, in place of stdout")
	return c
}

func (a *app) compile(o sourceOptions, ray rayOptions, out string) error {
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
	if out == "" {
		_, err := a.out.Write(indented(made.Definition))
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "definition.json"), indented(made.Definition), 0o644); err != nil {
		return err
	}
	if len(made.Cleanup) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(out, "cleanup.json"), indented(made.Cleanup), 0o644)
}

func indented(text []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return text
	}
	b.WriteByte('\n')
	return b.Bytes()
}
