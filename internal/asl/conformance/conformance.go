// Package conformance compares rayorch with recordings of Step Functions: histories, choices and API responses. The
// recordings are not part of this repository; without them the tests are skipped with a message. Only tests use this package.
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
	Status         string // "?" if the recording does not contain it
	Definition     []byte
	Input          []byte // nil if the execution was started without an input
	Events         []any  // as in GetExecutionHistory, masked
	ExpectedOutput any    // only in choice.json
	Masks          []Mask
}

// Mask is a replacement that was applied to the recording.
type Mask struct {
	T           string `json:"t"`
	Regex       string `json:"regex"`
	Replacement string `json:"replacement"`
}

// ErrMissing means that the recordings were not found.
var ErrMissing = errors.New("recordings of Step Functions not found: set RAYORCH_SHARED to the directory that contains conformance/")

// Dir returns the directory of the recordings: in $RAYORCH_SHARED, or in a directory named shared in the working directory or
// one of its parents.
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

// Read decodes all files with this name, in the directory of the recordings and its subdirectories (which have later
// recordings), and appends their elements to into.
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
			continue // a set of recordings need not have all files
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

// rawCase is a case in the format of the files.
type rawCase struct {
	ID, Key, Type  string
	Status         string          `json:"expected_status"`
	Definition     json.RawMessage `json:"definition"`
	Input          *string         `json:"input"`
	Events         json.RawMessage `json:"expected_events"`
	ExpectedOutput json.RawMessage `json:"expected_output"`
	Masks          []Mask          `json:"masks"`
}

// decode keeps definition and input as texts, because our own parsers read them.
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
