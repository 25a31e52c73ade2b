package api_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// Requests that need a damaged block of the database fail, with an error that names the execution. The server continues, and its
// metrics count the failures.
func TestDamagedBlock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	machine := "arn:aws:states:us-east-1:123456789012:stateMachine:m"
	names := make([]string, 60)
	t.Run("fill", func(t *testing.T) {
		url := newServerIn(t, dir, nil, "", nil).URL
		post(t, url, "CreateStateMachine",
			`{"name":"m","roleArn":"arn:aws:iam::123456789012:role/r","definition":"{\"StartAt\":\"S\",\"States\":{\"S\":{\"Type\":\"Succeed\"}}}"}`, nil)
		noise := rand.NewChaCha8([32]byte{1})
		for i := range names {
			text := make([]byte, 8<<10)
			noise.Read(text)
			names[i] = fmt.Sprint("x", i)
			resp, body := post(t, url, "StartExecution", fmt.Sprintf(`{"stateMachineArn":%q,"name":%q,"input":"\"%s\""}`,
				machine, names[i], hex.EncodeToString(text)), nil)
			if resp.StatusCode != http.StatusOK {
				t.Fatal(body)
			}
		}
	})
	damageLargest(t, dir)
	url := newServerIn(t, dir, nil, "", nil).URL
	bad := 0
	for _, name := range names {
		arn := strings.Replace(machine, "stateMachine", "execution", 1) + ":" + name
		resp, body := post(t, url, "GetExecutionHistory", fmt.Sprintf(`{"executionArn":%q}`, arn), nil)
		if resp.StatusCode == http.StatusOK {
			continue
		}
		bad++
		if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "execution "+arn+" cannot be read") ||
			!strings.Contains(body, "rayorch store check") {
			t.Errorf("%s: %s %s", arn, resp.Status, body)
		}
	}
	if bad == 0 || bad > 10 {
		t.Errorf("%d of %d histories cannot be read, want those in one block", bad, len(names))
	}
	resp, body := post(t, url, "StartExecution", fmt.Sprintf(`{"stateMachineArn":%q,"name":"new","input":"{}"}`, machine), nil)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("StartExecution: %s", body)
	}
	if n := metric(t, url, "rayorch_store_read_errors_total"); n == "" || n == "0" {
		t.Errorf("counted %q read errors", n)
	}
	if code, _ := get(t, url+"/healthz", nil); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
}

// damageLargest compacts the database, so that all data is in sorted files (SSTs), and flips a bit in the largest file.
func damageLargest(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, _ := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	var text []byte
	var largest string
	for _, name := range tables {
		if b, err := os.ReadFile(name); err == nil && len(b) > len(text) {
			text, largest = b, name
		}
	}
	if len(text) == 0 {
		t.Fatal("no sorted files")
	}
	text[len(text)/4] ^= 1
	if err := os.WriteFile(largest, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// metric returns the value of a metric without labels, "" if it is missing.
func metric(t *testing.T, url, name string) string {
	t.Helper()
	_, text := get(t, url+"/metrics", nil)
	m := regexp.MustCompile(`(?m)^` + name + ` (.*)$`).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}
