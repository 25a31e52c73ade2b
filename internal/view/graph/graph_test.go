package graph_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/view/graph"
)

var update = flag.Bool("update", false, "write the golden files")

func full(t *testing.T) *pipeline.Pipeline {
	t.Helper()
	data, err := os.ReadFile("../../pipeline/testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Decode("full.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGolden(t *testing.T) {
	p := full(t)
	r, err := compile.Compile(p, compile.Options{BaseDir: "/base", StorageDir: "/storage"})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range graph.Formats {
		for name, draw := range map[string]func() ([]byte, error){
			"pipeline":   func() ([]byte, error) { return graph.Pipeline(p, format) },
			"definition": func() ([]byte, error) { return graph.Definition("full", r.Definition, format) },
		} {
			t.Run(name+"/"+format, func(t *testing.T) {
				got, err := draw()
				if err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join("testdata", name+"."+format), got)
				if format == "svg" {
					wellFormed(t, got)
				}
			})
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (to update it, run go test -update):\n%s", path, diff)
	}
}

func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the SVG is not valid XML: %v", err)
		}
	}
}

func TestCyclesAndSpecialCharacters(t *testing.T) {
	definition := []byte(`{"StartAt":"a","States":{
		"b\"<>&#;]":{"Type":"Choice","Choices":[{"Next":"a"},{"Next":"nowhere"}],"Default":"b\"<>&#;]"},
		"a":{"Type":"Task","Resource":"arn:aws:lambda:us-east-1:1:function:f","Next":"b\"<>&#;]","Catch":[{"Next":"c"}]},
		"c":{"Type":"Fail"}, "alone":{}}}`)
	for _, format := range graph.Formats {
		out, err := graph.Definition("odd", definition, format)
		if err != nil {
			t.Fatal(err)
		}
		if format == "svg" {
			wellFormed(t, out)
		}
		if format == "mermaid" && strings.Count(string(out), `b#34;#60;#62;#38;#35;#59;#93;`) != 1 {
			t.Errorf("the name with special characters is not escaped:\n%s", out)
		}
	}
}

func TestUnknownFormatAndBadDefinition(t *testing.T) {
	if _, err := graph.Pipeline(full(t), "png"); err == nil || !strings.Contains(err.Error(), "text, mermaid or svg") {
		t.Errorf("unknown format: %v", err)
	}
	if _, err := graph.Definition("x", []byte("{"), "svg"); err == nil {
		t.Error("invalid JSON: no error")
	}
}

func FuzzDefinition(f *testing.F) {
	f.Add([]byte(`{"StartAt":"a","States":{"a":{"Type":"Map","ItemProcessor":{"States":{"b":{"Next":"b"}}},"Next":"a"}}}`))
	f.Fuzz(func(t *testing.T, definition []byte) {
		for _, format := range graph.Formats {
			out, err := graph.Definition("fuzz", definition, format)
			if err == nil && format == "svg" {
				wellFormed(t, out)
			}
		}
		if p, err := graph.PlaceDefinition(definition); err == nil && (p.Boxes == nil || p.Edges == nil) {
			t.Error("a list is nil, want an empty list in JSON")
		}
	})
}
