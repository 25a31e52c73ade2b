// Package terminal draws a run for a person: a live block of lines on a terminal, plain lines elsewhere, a table at the
// end. It is fed with internal/view/progress views and with log lines; it fetches nothing itself.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/view/progress"
)

// Config says where and how to draw.
type Config struct {
	Out io.Writer
	// Live draws a block that is painted over; else plain lines, one a change. Only for terminals.
	Live bool
	// Color uses ANSI colours. Only for terminals, and not with NO_COLOR.
	Color bool
	// Width is the terminal's width in columns at this moment. Defaults to 80.
	Width func() int
	// Tail is how many of a running job's last lines the live block shows. Defaults to 3.
	Tail int
	// Follow prints every log line, prefixed by its step, instead of the tail.
	Follow bool
	// Now defaults to time.Now.
	Now func() time.Time
}

// Screen draws one run. Its methods may be called from several goroutines.
type Screen struct {
	cfg   Config
	mu    sync.Mutex
	lines int                 // height of the block on the screen
	tails map[string][]string // last lines by step
	said  map[string]string   // plain mode: what was printed last of each step
	frame int
}

// New makes a screen.
func New(cfg Config) *Screen {
	if cfg.Width == nil {
		cfg.Width = func() int { return 80 }
	}
	if cfg.Tail == 0 {
		cfg.Tail = 3
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Screen{cfg: cfg, tails: map[string][]string{}, said: map[string]string{}}
}

// Log takes one line that a step's job printed.
func (s *Screen) Log(step, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line = Clean(line)
	if s.cfg.Follow {
		s.above(s.paint(dim, Clean(step)+" | ") + line)
		return
	}
	s.tails[step] = append(s.tails[step], line)
	s.tails[step] = s.tails[step][max(0, len(s.tails[step])-s.cfg.Tail):]
}

// Say prints a line of our own above the block.
func (s *Screen) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	s.above(strings.Join(lines, "\n"))
}

func (s *Screen) above(line string) {
	s.erase()
	fmt.Fprintln(s.cfg.Out, line)
}

// Show draws the state of the run now.
func (s *Screen) Show(v *progress.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cfg.Live {
		s.changes(v)
		return
	}
	s.frame++
	block := s.block(v)
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines)
	}
	for _, line := range block {
		b.WriteString("\r" + line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	s.lines = len(block)
	_, _ = io.WriteString(s.cfg.Out, b.String())
}

// Close takes the live block away, so that what follows starts on a clean line.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *Screen) erase() {
	if s.lines > 0 {
		fmt.Fprintf(s.cfg.Out, "\x1b[%dA\r\x1b[J", s.lines)
		s.lines = 0
	}
}

func (s *Screen) block(v *progress.View) []string {
	width := max(20, s.cfg.Width()-1)
	var out []string
	for _, st := range v.Steps() {
		out = append(out, s.stepLine(st, width))
		if st.Status == progress.Pending && st.Waiting != nil {
			out = append(out, s.paint(dim, Cut("    │ "+FirstLine(st.Waiting.Reason), width)))
		}
		if st.Status == progress.Running && !s.cfg.Follow {
			for _, l := range s.tails[st.Name] {
				out = append(out, s.paint(dim, Cut("    │ "+l, width)))
			}
		}
	}
	return out
}

func (s *Screen) stepLine(st *progress.Entry, width int) string {
	text := fmt.Sprintf("%-20s %-10s %8s", st.Name, st.Word(), Duration(st.Duration(s.cfg.Now())))
	if st.Attempt > 1 {
		text += fmt.Sprintf("  attempt %d", st.Attempt)
	}
	if st.Error != "" {
		text += "  " + st.Error
		if st.Cause != "" {
			text += ": " + FirstLine(st.Cause)
		}
	}
	if st.SkipReason != "" {
		text += "  " + FirstLine(st.SkipReason)
	}
	return s.paint(colorOf(st.Status), s.glyph(st.Status)) + " " + Cut(Clean(text), width-2)
}

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

func (s *Screen) glyph(st progress.Status) string {
	switch st {
	case progress.Succeeded:
		return "✓"
	case progress.Failed:
		return "✗"
	case progress.Caught:
		return "!"
	case progress.Cancelled:
		return "⊘"
	case progress.Retrying:
		return "↻"
	case progress.Pending:
		return "○"
	case progress.Skipped:
		return "–"
	case progress.Running:
	}
	return spinner[s.frame%len(spinner)]
}

// shortPending is how long a step is pending before a plain line says so. A plain job starts faster.
const shortPending = 2 * time.Second

// changes prints a plain line for each step that is not as it was when it was printed last.
func (s *Screen) changes(v *progress.View) {
	for i, st := range v.Steps() {
		state := fmt.Sprintf("%s attempt %d", st.Word(), st.Attempt)
		key := fmt.Sprintf("%d", i)
		if st.Status == progress.Pending && st.Waiting != nil {
			if st.Waiting.Duration(s.cfg.Now()) < shortPending { // do not print short-lived reasons
				continue
			}
			state += " " + st.Waiting.Reason
		}
		if s.said[key] == state || st.Attempt == 0 && !st.IsWait() && !st.Status.Ended() {
			continue
		}
		if st.Status == progress.Pending && s.cfg.Now().Sub(st.Scheduled) < shortPending {
			continue
		}
		s.said[key] = state
		line := fmt.Sprintf("%s  %-20s %s", s.cfg.Now().UTC().Format("15:04:05"), st.Name, st.Word())
		if st.SkipReason != "" {
			line += ": " + FirstLine(st.SkipReason)
		}
		if st.Attempt > 1 {
			line += fmt.Sprintf("  attempt %d", st.Attempt)
		}
		if st.Status.Ended() && st.Status != progress.Skipped {
			line += "  after " + Duration(st.Duration(s.cfg.Now()))
		}
		if st.Status == progress.Pending && st.Waiting != nil {
			line += fmt.Sprintf("  for %s: %s", Duration(st.Waiting.Duration(s.cfg.Now())), FirstLine(st.Waiting.Reason))
		} else if st.Error != "" && st.Status != progress.Running {
			line += "  " + st.Error + ": " + FirstLine(st.Cause)
		}
		fmt.Fprintln(s.cfg.Out, Clean(line))
	}
}

// Clean makes a job's line safe to print: escape sequences and control characters could repaint the terminal.
func Clean(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r == utf8.RuneError:
			return -1
		}
		return r
	}, line)
}

// Cut shortens text to a number of columns.
func Cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

// FirstLine is the first line of a text that is not blank, cleaned.
func FirstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(Clean(line)); line != "" {
			return line
		}
	}
	return ""
}

// Duration is short and steady in width: 0.8s, 12.3s, 4m05s, 2h03m.
func Duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

type ansi string

const (
	dim    ansi = "2"
	red    ansi = "31"
	green  ansi = "32"
	yellow ansi = "33"
	cyan   ansi = "36"
)

func colorOf(st progress.Status) ansi {
	switch st {
	case progress.Succeeded:
		return green
	case progress.Failed:
		return red
	case progress.Running:
		return cyan
	case progress.Cancelled, progress.Skipped, progress.Pending:
		return dim
	case progress.Retrying, progress.Caught:
	}
	return yellow
}

func (s *Screen) paint(c ansi, text string) string {
	if !s.cfg.Color {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}
