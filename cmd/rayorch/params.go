package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// input is a run's input: the parameters of a file, then those of the command line. All mistakes are told at once.
// Bounds are checked here so that a mistake is told before anything starts; the definition checks them again, because a
// start need not come from here.
func (s *source) input(flags []string, file string) ([]byte, error) {
	given := value.NewObject(len(flags))
	if err := readParams(file, given); err != nil {
		return nil, err
	}
	var problems []error
	for _, f := range flags {
		name, text, ok := strings.Cut(f, "=")
		if !ok {
			problems = append(problems, fmt.Errorf("--param %s: expected NAME=VALUE", f))
			continue
		}
		p, known := s.pipeline.Params.Get(name)
		if !known {
			given.Set(name, text) // CheckInput says that it is unknown, with a near name
			continue
		}
		v, err := paramValue(p, text)
		if err != nil {
			problems = append(problems, fmt.Errorf("--param %s: %w", name, err))
			continue
		}
		given.Set(name, v)
	}
	problems = append(problems, s.pipeline.CheckInput(given)...)
	if len(problems) > 0 {
		return nil, &failure{code: exitUsage, err: errors.Join(problems...), hint: "the pipeline's params say what it takes"}
	}
	return value.Bytes(given), nil
}

// paramValue reads a value from the command line by its parameter's type.
func paramValue(p pipeline.Param, text string) (any, error) {
	if p.Type == "string" || p.Type == "" {
		return text, nil
	}
	v, err := value.Parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%q is no %s", text, p.Type)
	}
	return v, nil
}

func readParams(file string, into *value.Object) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the parameters: %w", err)
	}
	all := map[string]any{}
	if err := yaml.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("%s: expected a JSON or YAML object of parameters: %w", file, err)
	}
	o, ok := value.FromGo(all).(*value.Object)
	if !ok {
		return fmt.Errorf("%s: expected a JSON or YAML object of parameters", file)
	}
	for i := range o.Len() {
		into.Set(o.At(i))
	}
	return nil
}
