package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// input returns the input of a run: the parameters in a file, and those on the command line, which take precedence. It returns all errors
// together. It checks bounds so that an error is reported before anything starts; the definition checks them again, because not every
// start comes from this command.
func (s *source) input(flags []string, file string) ([]byte, error) {
	given, err := readValues(file)
	if err != nil {
		return nil, err
	}
	var problems []error
	var invalid []string // parameters whose error is already in problems
	for _, f := range flags {
		name, text, ok := strings.Cut(f, "=")
		if !ok {
			problems = append(problems, fmt.Errorf("--param must be NAME=VALUE, got %q", f))
			continue
		}
		// A parameter on the command line replaces that of the file.
		p, known := s.pipeline.Params.Get(name)
		if !known {
			given.Set(name, text) // CheckInput reports that it is unknown, and suggests a similar name
			continue
		}
		v, err := typedParam(p.Type, text)
		if err != nil {
			problems = append(problems, fmt.Errorf("--param %s: %w", name, err))
			invalid = append(invalid, name)
			continue
		}
		given.Set(name, v)
	}
	problems = append(problems, s.pipeline.CheckInput(given, invalid...)...)
	if len(problems) > 0 {
		return nil, &failure{code: exitUsage, err: errors.Join(problems...), hint: "set parameters with --param NAME=VALUE or --params-file; the pipeline file declares them in params"}
	}
	return value.Bytes(s.pipeline.Normalize(given)), nil
}

// typedParam parses a value from the command line: plain text for a parameter of type string, JSON for any other type. kind is the type in
// the pipeline file or in the JSON Schema of the definition; "" is a string.
func typedParam(kind, text string) (any, error) {
	if kind == "" || kind == "string" {
		return text, nil
	}
	v, err := value.Parse([]byte(text))
	switch {
	case err == nil:
		return v, nil
	case kind == "list" || kind == "array" || kind == "object":
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	return nil, fmt.Errorf("%q is not of type %s", text, kind)
}

// readValues reads a YAML or JSON file of parameters. Without a file name it returns none.
func readValues(file string) (*value.Object, error) {
	if file == "" {
		return &value.Object{}, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the parameters: %w", err)
	}
	return pipeline.DecodeValues(file, data)
}
