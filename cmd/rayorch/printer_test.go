package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// testApp returns an app with a state directory, no input, and one writer for both streams.
func testApp(dir string, w io.Writer) *app {
	a := newApp(&bytes.Buffer{}, w, w)
	a.stateDir = dir
	return a
}

// fullWriter accepts a number of writes, then fails.
type fullWriter struct{ free int }

var errNoSpace = errors.New("no space left")

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.free == 0 {
		return 0, errNoSpace
	}
	w.free--
	return len(p), nil
}

// TestPrinterReportsFailedWrites: a command whose result could not be printed fails, even if no method returned the error.
func TestPrinterReportsFailedWrites(t *testing.T) {
	var errs bytes.Buffer
	a := newApp(nil, &fullWriter{}, &errs)
	if code := a.run(t.Context(), []string{"version"}); code != exitError || errs.String() != "rayorch: error: no space left\n" {
		t.Errorf("the exit code is %d, stderr is %q", code, errs.String())
	}
	p := &printer{stdout: &fullWriter{free: 1}}
	p.printf("one\n")
	if p.failed != nil {
		t.Errorf("the first write failed: %v", p.failed)
	}
	p.printf("two\n")
	p.write([]byte("three\n"))
	if !errors.Is(p.failed, errNoSpace) {
		t.Errorf("failed is %v, want %v", p.failed, errNoSpace)
	}
}

func TestPrinterResult(t *testing.T) {
	for format, want := range map[string]string{"text": "a result\n", "json": "{\n  \"a\": \"<result>\"\n}\n"} {
		var out bytes.Buffer
		p := &printer{stdout: &out, format: format}
		err := p.result(map[string]string{"a": "<result>"}, func() { p.printf("a %s\n", "result") })
		if err != nil || out.String() != want {
			t.Errorf("%s: printed %q (%v), want %q", format, out.String(), err, want)
		}
	}
}

func TestPrinterLines(t *testing.T) {
	var errs bytes.Buffer
	p := &printer{stderr: &errs}
	p.sayf("%d lines\nand \x1b[2Jno escape", 2)
	p.note("first")
	p.error("second\nthird")
	p.hint("")
	p.hint("fourth")
	want := "2 lines\nand [2Jno escape\nrayorch: note: first\nrayorch: error: second\nrayorch: error: third\nrayorch: hint: fourth\n"
	if errs.String() != want {
		t.Errorf("printed %q, want %q", errs.String(), want)
	}
}
