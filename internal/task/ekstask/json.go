package ekstask

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// join puts JSON together from texts and pieces that are JSON already.
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

// quote leaves <, > and & as they are: the results are no HTML.
func quote(s string) []byte { return encode(s) }

func number(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return []byte("null") // strings and maps of them: it cannot fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// tidy is a Job as its Task's result shows it: without the book-keeping of who set which field.
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
