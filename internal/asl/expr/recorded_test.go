package expr_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl/conformance"
	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

// rejected are the expressions in recorded definitions that Step Functions rejected as well.
var rejected = map[string]bool{
	`States.StringToJson('{"text":"An \"escaped double quote\" here"}')`: true,
	`States.Format('He said, \"Hello, {}!\"', 'Test \"Name\" Here')`:     true,
}

// TestRecordedExpressionsCompile compiles all expressions in the recorded definitions.
func TestRecordedExpressionsCompile(t *testing.T) {
	dir, err := conformance.Dir()
	if err != nil {
		t.Skip("SKIPPED: " + err.Error())
	}
	var files []string
	for _, pattern := range []string{"*.json", "*/*.json"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	seen := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		walkRecorded(parse(t, string(data)), false, func(text string) {
			if seen[text] {
				return
			}
			seen[text] = true
			err := compileRecorded(text)
			if rejected[text] != (err != nil) {
				t.Errorf("%s: %v", text, err)
			}
		})
	}
	if len(seen) < 100 {
		t.Errorf("only %d expressions found", len(seen))
	}
}

func compileRecorded(text string) error {
	if body, ok := expr.JSONataBody(text); ok {
		_, err := expr.CompileJSONata(body)
		return err
	}
	_, err := expr.CompileQuery(text)
	return err
}

// walkRecorded visits the expressions of the states in v: fields of templates that end in .$, and strings of the form {% %}.
// A string that contains a definition is parsed and visited as well.
func walkRecorded(v any, inTemplate bool, visit func(string)) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			walkRecorded(item, inTemplate, visit)
		}
	case *value.Object:
		for i := range v.Len() {
			k, item := v.At(i)
			template := inTemplate || k == "Parameters" || k == "ResultSelector" || k == "ItemSelector" || k == "Assign"
			if text, ok := item.(string); ok && inTemplate && strings.HasSuffix(k, ".$") {
				visit(text)
			}
			walkRecorded(item, template && k != "Result", visit)
		}
	case string:
		if _, ok := expr.JSONataBody(v); ok {
			visit(v)
		} else if inner, err := value.Parse([]byte(v)); err == nil && strings.HasPrefix(v, "{") {
			walkRecorded(inner, false, visit)
		}
	}
}
