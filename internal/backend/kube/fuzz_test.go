package kube_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"type":"MODIFIED","object":{"kind":"Job","metadata":{"name":"a"}}}`))
	f.Add([]byte(`{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}`))
	f.Add([]byte(`{"type":"ERROR","object":{"code":403}}`))
	f.Add([]byte(`{"type":"BOOKM`))
	f.Fuzz(func(t *testing.T, line []byte) {
		kind, _, err := kube.DecodeEvent(line)
		if (kind == "") != (err != nil) {
			t.Errorf("%q and %v", kind, err)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add(403, []byte(`{"kind":"Status","reason":"Forbidden","message":"jobs is forbidden: User \"x\" cannot create resource"}`))
	f.Add(422, []byte(`{"kind":"Status","details":{"causes":[{"field":"spec","message":"bad"}]}}`))
	f.Add(502, []byte("<html>"))
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		err := kube.NewStatusError(kube.Request{Path: "/x"}, kube.Response{Status: code, StatusText: "Text", Body: body})
		if kube.Code(err) != code || err.Error() == "" {
			t.Errorf("%d: %q", kube.Code(err), err)
		}
		_ = kube.Temporary(err)
	})
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte(`{"status":{"conditions":[{"type":"Failed","status":"True","reason":"DeadlineExceeded"}]}}`),
		[]byte(`[{"status":{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ErrImagePull"}}}]}}]`),
		[]byte(`[{"involvedObject":{"kind":"Pod"},"reason":"FailedMount","message":"x"}]`))
	f.Add([]byte(`{}`), []byte(`[]`), []byte(`[{"involvedObject":{"kind":"Job"},"reason":"FailedCreate"}]`))
	f.Fuzz(func(t *testing.T, job, pods, events []byte) {
		j, err := kube.DecodeJob(job)
		var p []kube.Pod
		var n []kube.EventRecord
		if err != nil || json.Unmarshal(pods, &p) != nil || json.Unmarshal(events, &n) != nil {
			t.Skip()
		}
		_ = kube.Explain(j, p, n).String()
	})
}

func FuzzLog(f *testing.F) {
	f.Add("2026-11-23T18:00:00.000000001Z hello\nno stamp\n")
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		if err := kube.EachLine(strings.NewReader(text), func(line string) {
			n++
			if l := kube.ParseLine(line); !strings.HasSuffix(line, l.Text) {
				t.Errorf("%q became %q", line, l.Text)
			}
		}); err != nil {
			t.Error(err)
		}
		if want := strings.Count(text, "\n"); n < want {
			t.Errorf("got %d lines, want at least %d", n, want)
		}
	})
}

// FuzzDiff verifies that a diff is deterministic, and that it has hunks exactly if the objects differ.
func FuzzDiff(f *testing.F) {
	f.Add("a\nb\nc\nd\ne\nf\ng\nh", "a\nb\nX\nd\ne\nf\ng\nh\ni")
	f.Add("", "a")
	f.Fuzz(func(t *testing.T, old, now string) {
		object := func(text string) kube.Object {
			o := kube.Object{}
			for i, line := range strings.Split(text, "\n") {
				o[strings.Repeat("k", i%40+1)] = line
			}
			return o
		}
		text, err := kube.Unified("it", object(old), object(now))
		if err != nil {
			t.Skip()
		}
		again, err := kube.Unified("it", object(old), object(now))
		if err != nil || again != text {
			t.Errorf("a second diff differs: %v", err)
		}
		if same := !strings.Contains(text, "@@"); same != (old == now) && len(strings.Split(old, "\n")) < 40 && len(strings.Split(now, "\n")) < 40 {
			t.Errorf("%q and %q: %s", old, now, text)
		}
	})
}
