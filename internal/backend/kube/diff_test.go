package kube_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

func TestUnified(t *testing.T) {
	before := kube.Object{"a": 1.0, "b": "x", "c": "x", "d": "x", "e": "x", "f": "old", "kind": "Secret", "data": map[string]any{"k": "v"}}
	after := kube.Object{"a": 1.0, "b": "x", "c": "x", "d": "x", "e": "x", "f": "new", "kind": "Secret", "data": map[string]any{"k": "w", "l": "v"}}
	for name, c := range map[string]struct {
		before kube.Object
		want   string
	}{
		"change": {before, "--- it (current)\n+++ it (after apply)\n@@ -4,6 +4,7 @@\n d: x\n data:\n   k: '***'\n+  l: '***'\n e: x\n-f: old\n+f: new\n kind: Secret\n"},
		"create": {nil, "--- it (current)\n+++ it (after apply)\n@@ -0,0 +1,10 @@\n+a: 1\n+b: x\n+c: x\n+d: x\n+data:\n+  k: '***'\n+  l: '***'\n+e: x\n+f: new\n+kind: Secret\n"},
		"same":   {after, "--- it (current)\n+++ it (after apply)\n"},
	} {
		got, err := kube.Unified("it", c.before, after)
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
}
