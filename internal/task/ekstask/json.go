package ekstask

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// join concatenates strings and byte slices to a JSON text.
func join(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b.WriteString(p)
		case []byte:
			b.Write(p)
		}
	}
	return b.Bytes()
}

// quote encodes a string as JSON.
func quote(s string) []byte { return encode(s) }

// number encodes an integer as JSON.
func number(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }

// encode encodes a value as JSON without escaping <, > and &, which is only needed in HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return []byte("null") // cannot happen: the values are strings, maps and decoded JSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// tidy returns a Job as the Task's result contains it: without managedFields.
func tidy(j kube.Job) map[string]any {
	d := json.NewDecoder(bytes.NewReader(j.Raw))
	d.UseNumber()
	var o map[string]any
	if d.Decode(&o) != nil || o == nil {
		return map[string]any{}
	}
	if meta, ok := o["metadata"].(map[string]any); ok {
		delete(meta, "managedFields")
	}
	return o
}
