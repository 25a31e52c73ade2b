package joblog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/task/joblog"
)

// lines is an Appender that collects lines and ignores positions.
type lines struct{ bytes.Buffer }

func (l *lines) Append(text, _ []byte) error {
	_, err := l.Write(text)
	return err
}

func TestOutput(t *testing.T) {
	many := func(n int) []string {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprint("line ", i))
		}
		return lines
	}
	tests := []struct {
		name  string
		lines []string
		want  string
		fails string
	}{
		{"none", []string{"a"}, "null", ""},
		{"last", []string{"a", joblog.OutputMark + `{"a":1}`}, `{"a":1}`, ""},
		{"before others", append([]string{joblog.OutputMark + "1"}, many(5)...), "1", ""},
		{"too many lines after it", append([]string{joblog.OutputMark + "1"}, many(30)...), "null", ""},
		{"two outputs", []string{joblog.OutputMark + "1", joblog.OutputMark + "2"}, "2", ""},
		{"after a line without a line end", []string{"progress 100%" + joblog.OutputMark + "3"}, "3", ""},
		{"not JSON", []string{joblog.OutputMark + "{"}, "", "not valid JSON"},
		{"empty", []string{joblog.OutputMark}, "", "not valid JSON"},
		{"too large", []string{joblog.OutputMark + `"` + strings.Repeat("x", joblog.OutputBytes) + `"`}, "", "storage"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out lines
			log := joblog.New(&out, joblog.Redactor{})
			for _, line := range test.lines {
				log.Line(line, nil)
			}
			got, err := log.Output()
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Fatalf("got error %v, want %q", err, test.fails)
			}
			if err == nil && string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if strings.Contains(out.String(), joblog.OutputMark) {
				t.Error("the log contains the mark")
			}
		})
	}
}

func TestCause(t *testing.T) {
	log := joblog.New(nil, joblog.NewRedactor([]string{"hush-hush"}))
	for i := range 100 {
		log.Line(fmt.Sprintf("line %d hush-hush", i), nil)
	}
	if got := log.Cause("why, hush-hush"); !strings.HasPrefix(got, "why, ***\nline 80 ***\n") || !strings.HasSuffix(got, "line 99 ***") {
		t.Errorf("got %q, want the reason and lines 80 to 99, redacted", got)
	}
	log.Line(strings.Repeat("x", 1<<20), nil)
	if got := log.Cause("why"); !strings.HasPrefix(got, "why\nline 81") || !strings.HasSuffix(got, "line 99 ***\n"+strings.Repeat("x", 2<<10)+"...") {
		t.Errorf("the long line is not shortened: the cause has %d bytes: %.200s", len(got), got)
	}
}

func TestRedactor(t *testing.T) {
	const secret = "p\u00e4ss'w\"ord/+&x"
	hide := joblog.NewRedactor([]string{"p\u00e4ss", secret, "abc"})
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]string{
		"plain": secret, "json": string(quoted), "json of python": `p\u00e4ss'w\"ord/+&x`, "repr": `'päss\'w"ord/+&x'`, "query": url.QueryEscape(secret),
		"path": url.PathEscape(secret), "base64": base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 of URLs": base64.RawURLEncoding.EncodeToString([]byte(secret)), "basic 1": base64.StdEncoding.EncodeToString([]byte("u:" + secret)),
		"basic 2": base64.StdEncoding.EncodeToString([]byte("me:" + secret + "\n")),
	} {
		got := hide.Text("<" + shown + ">")
		for _, part := range []string{"ord", url.QueryEscape(secret)[3:], shown[len(shown)/3 : len(shown)*2/3]} {
			if strings.Contains(got, part) {
				t.Errorf("%s: %s contains %s", name, got, part)
			}
		}
	}
	if got := hide.Text("abc YWJj"); got != "abc YWJj" {
		t.Errorf("a value of 3 characters was redacted: %q", got)
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add("the secret", "it is the secret, \"the secret\"")
	f.Add("a\"b\nsecond line", `{"k": "a\"b\nsecond line"}`)
	f.Fuzz(func(t *testing.T, secret, text string) {
		got := joblog.NewRedactor([]string{secret}).Text(text)
		if len(secret) >= 4 && !strings.Contains(secret, "*") && strings.Contains(got, secret) {
			t.Errorf("%q contains %q", got, secret)
		}
	})
}

// TestPosition stops after each line and continues from the stored position: no line is lost or passed on twice.
func TestPosition(t *testing.T) {
	all := []string{"", "a", "", "", "of ray", "b", joblog.OutputMark + "1", "", "c", "of ray", "", "", "d" + joblog.OutputMark + "2", "e"}
	follow := func(out *kept, end int) {
		log := joblog.New(out, joblog.Redactor{}).From(out.position)
		log.Own = func(line string) (string, bool) { return line, line != "of ray" }
		begin, _ := strconv.Atoi(string(out.position))
		for i := begin; i < end; i++ {
			log.Line(all[i], strconv.AppendInt(nil, int64(i+1), 10))
		}
	}
	var want kept
	follow(&want, len(all))
	for n := range all {
		var got kept
		follow(&got, n)
		follow(&got, len(all))
		if got.String() != want.String() {
			t.Errorf("stopped after %d lines: got %q, want %q", n, got.String(), want.String())
		}
	}
}

// kept is an Appender that also stores the position.
type kept struct {
	lines
	position []byte
}

func (k *kept) Append(text, position []byte) error {
	k.position = position
	return k.lines.Append(text, nil)
}
