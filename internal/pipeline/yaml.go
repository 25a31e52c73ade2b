package pipeline

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// YAML decodes a YAML document other than a pipeline, such as a conda environment, to a JSON value. The limits of pipeline
// files apply.
func YAML(data []byte) (any, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("the file must have at most %d bytes, got %d", MaxFileSize, len(data))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("the file is empty")
	}
	d := &decoder{source: newSource("")}
	v := d.json(doc.Content[0], "", func(_ *yaml.Node, _, text string) any { return text })
	if len(d.problems) > 0 {
		p := d.problems[0]
		return nil, fmt.Errorf("line %d: %s", p.Line, p.Message)
	}
	return v, nil
}
