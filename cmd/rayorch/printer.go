package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/rayorch/rayorch/internal/view/terminal"
)

// printer prints everything that a command prints, except the progress of a run, which package terminal draws.
//
// Results go to stdout: as text, or with --output json as JSON, which docs/cli.md documents. A command prints its result with result, or
// chooses between object and the methods for text itself. Everything else, such as notes, hints and errors, goes to stderr, in lines, so
// that stdout can be piped into another program.
//
// The methods for text do not return errors. The first error of a write to stdout is kept in failed and makes the command fail in the end.
// say and sayf may be called by several goroutines at the same time, the other methods may not.
type printer struct {
	stdout, stderr io.Writer
	format         string // --output: text or json
	verbose        bool   // --verbose: log more than errors
	failed         error  // of the first write to stdout that failed
}

// json reports whether results are to be printed as JSON.
func (p *printer) json() bool { return p.format == "json" }

// result prints v as JSON, or calls text, which prints the same for people.
func (p *printer) result(v any, text func()) error {
	if p.json() {
		return p.object(v)
	}
	text()
	return nil
}

// object prints v as indented JSON.
func (p *printer) object(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printf prints text of a result. The format ends with \n, unless more text for the line follows. Text that comes from elsewhere, such as
// the output of a job, is to be passed through terminal.Clean.
func (p *printer) printf(format string, args ...any) {
	_, err := fmt.Fprintf(p.stdout, format, args...)
	p.keep(err)
}

// write prints bytes as they are: a definition, a picture, a diff.
func (p *printer) write(data []byte) {
	_, err := p.stdout.Write(data)
	p.keep(err)
}

// table prints rows as columns of text.
func (p *printer) table(header []string, rows [][]string) {
	p.keep(terminal.Table(p.stdout, header, rows))
}

// keep keeps the first error of a write to stdout.
func (p *printer) keep(err error) {
	if p.failed == nil {
		p.failed = err
	}
}

// say prints text to stderr, as one or more lines, without control characters. The text has no \n at the end.
func (p *printer) say(text string) {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(terminal.Clean(line) + "\n")
	}
	_, _ = io.WriteString(p.stderr, b.String()) // there is nowhere else to report an error
}

// sayf is say with a format.
func (p *printer) sayf(format string, args ...any) { p.say(fmt.Sprintf(format, args...)) }

// note prints a remark about something that is not an error.
func (p *printer) note(text string) { p.say("rayorch: note: " + text) }

// warning prints a remark about something dangerous.
func (p *printer) warning(text string) { p.say("rayorch: warning: " + text) }

// error prints an error, each line of it with the prefix that docs/cli.md documents.
func (p *printer) error(text string) { p.prefixed("rayorch: error: ", text) }

// hint prints what to do about an error; "" prints nothing.
func (p *printer) hint(text string) { p.prefixed("rayorch: hint: ", text) }

// prefixed prints each line of a text with a prefix.
func (p *printer) prefixed(prefix, text string) {
	for line := range strings.Lines(text) {
		p.say(prefix + strings.TrimSuffix(line, "\n"))
	}
}

// logger returns a logger to stderr: for errors only, unless --verbose is set.
func (p *printer) logger() *slog.Logger {
	level := slog.LevelError
	if p.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
}

// safeOut returns a writer that removes escape sequences other than colors from what is written to a terminal: the output of jobs, names
// and errors must not be able to control the terminal. Files and pipes get every byte.
func safeOut(f *os.File) io.Writer {
	if !term.IsTerminal(int(f.Fd())) {
		return f
	}
	return terminal.NewSafe(f)
}

// terminalOf returns the file behind a stream, and reports whether it is a terminal that supports escape sequences.
func terminalOf(w any) (*os.File, bool) {
	if s, ok := w.(*terminal.Safe); ok {
		w = s.Unwrap()
	}
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
