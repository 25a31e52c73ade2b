// Package conformance reads what Step Functions itself answered (recorded histories, comparisons, API responses) and
// grades what we answer against it. The recordings are shared data beside the module, not part of it: without them
// nothing is graded, loudly. Only tests use this package.
package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rayorch/rayorch/internal/value"
)

// Case is one recorded execution (history.json) or comparison (choice.json).
type Case struct {
	ID             string
	Key            string
	Type           string
	Status         string // "?" when the recording does not say
	Definition     []byte
	Input          []byte // nil when the execution was started without
	Events         []any  // as GetExecutionHistory showed them, masked
	ExpectedOutput any    // choice.json
	Masks          []Mask
}

// Mask is a replacement that was made in the recording.
type Mask struct {
	T           string `json:"t"`
	Regex       string `json:"regex"`
	Replacement string `json:"replacement"`
}

// ErrMissing says that the recordings are not there.
var ErrMissing = errors.New("the recordings of Step Functions are not there: set RAYORCH_SHARED to the folder that holds conformance/")

// Dir finds the recordings: in $RAYORCH_SHARED, or in a folder called shared beside one above the working directory.
func Dir() (string, error) {
	if dir := os.Getenv("RAYORCH_SHARED"); dir != "" {
		return exists(filepath.Join(dir, "conformance"))
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if found, err := exists(filepath.Join(dir, "shared", "conformance")); err == nil {
			return found, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ErrMissing
		}
		dir = parent
	}
}

func exists(dir string) (string, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", ErrMissing
	}
	return dir, nil
}

// Read decodes every file of that name, those of later recordings (in folders beside the first) included: into is a
// slice to which their elements are appended.
func Read[T any](name string, into *[]T) error {
	dir, err := Dir()
	if err != nil {
		return err
	}
	later, err := filepath.Glob(filepath.Join(dir, "*", name))
	if err != nil {
		return err
	}
	for _, file := range append([]string{filepath.Join(dir, name)}, later...) {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a set of recordings need not have all kinds
		}
		if err != nil {
			return err
		}
		var cases []T
		if err := json.Unmarshal(data, &cases); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		*into = append(*into, cases...)
	}
	return nil
}

// Load reads the cases of history.json or choice.json.
func Load(name string) ([]Case, error) {
	var raw []rawCase
	if err := Read(name, &raw); err != nil {
		return nil, err
	}
	cases := make([]Case, len(raw))
	for i := range raw {
		var err error
		if cases[i], err = raw[i].decode(); err != nil {
			return nil, fmt.Errorf("%s: case %d: %w", name, i, err)
		}
	}
	return cases, nil
}

type rawCase struct {
	ID, Key, Type  string
	Status         string          `json:"expected_status"`
	Definition     json.RawMessage `json:"definition"`
	Input          *string         `json:"input"`
	Events         json.RawMessage `json:"expected_events"`
	ExpectedOutput json.RawMessage `json:"expected_output"`
	Masks          []Mask          `json:"masks"`
}

// decode keeps definition and input as text: they go through our own parsers.
func (c *rawCase) decode() (Case, error) {
	out := Case{ID: c.ID, Key: c.Key, Type: c.Type, Status: c.Status, Definition: c.Definition, Masks: c.Masks}
	if c.Input != nil {
		out.Input = []byte(*c.Input)
	}
	if c.Events != nil {
		v, err := value.Parse(c.Events)
		if err != nil {
			return out, err
		}
		out.Events, _ = v.([]any)
	}
	if c.ExpectedOutput != nil {
		v, err := value.Parse(c.ExpectedOutput)
		if err != nil {
			return out, err
		}
		out.ExpectedOutput = v
	}
	return out, nil
}
