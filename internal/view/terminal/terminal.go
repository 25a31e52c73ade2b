// Package terminal displays a run: as a live block of lines on a terminal, as plain lines elsewhere, and as a table at the end. The caller
// passes in views (internal/view/progress) and log lines; the package does not fetch anything itself.
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

// Config configures a Screen. Out is required.
type Config struct {
	Out io.Writer
	// Live redraws a block of lines in place; otherwise, each change is printed as a plain line. Only for terminals.
	Live bool
	// Color uses ANSI colors. Only for terminals, and not with NO_COLOR.
	Color bool
	// Width returns the terminal's current width in columns. Defaults to 80.
	Width func() int
	// Tail is the number of the last lines of a running job's log in the live block. Defaults to 3.
	Tail int
	// Follow prints all log lines, prefixed with the step, instead of the tail.
	Follow bool
	// Now defaults to time.Now.
	Now func() time.Time
}

// Screen displays one run. Its methods are safe for concurrent use.
type Screen struct {
	cfg   Config
	mu    sync.Mutex
	lines int                 // height of the live block on the screen
	tails map[string][]string // last log lines by step
	// printed is the state of each step that was printed last, in plain mode.
	printed map[string]string
	frame   int // of the spinner
}

// New returns a screen.
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
	return &Screen{cfg: cfg, tails: map[string][]string{}, printed: map[string]string{}}
}

// Log adds a line to the log of a step.
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

// Printf prints a message above the live block.
func (s *Screen) Printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	s.above(strings.Join(lines, "\n"))
}

// above prints a line in place of the live block, which the next Show draws again.
func (s *Screen) above(line string) {
	s.erase()
	fmt.Fprintln(s.cfg.Out, line)
}

// Show displays the current state of the run.
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

// Close removes the live block, so that later output starts on an empty line.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

// erase removes the live block from the screen. The caller holds s.mu.
func (s *Screen) erase() {
	if s.lines > 0 {
		fmt.Fprintf(s.cfg.Out, "\x1b[%dA\r\x1b[J", s.lines)
		s.lines = 0
	}
}

// block returns the lines of the live block: one for each step, followed by the reason why it is pending, or the last lines of its log.
// Lines are truncated to the width of the terminal, because a wrapped line would make the height of the block wrong.
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

// glyph returns the symbol of a status, which makes it recognizable without colors.
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

// shortPending is how long a step must be pending before a plain line reports it. Most plain jobs start faster.
const shortPending = 2 * time.Second

// changes prints a plain line for each step whose state has changed since it was printed.
func (s *Screen) changes(v *progress.View) {
	for i, st := range v.Steps() {
		state := fmt.Sprintf("%s attempt %d", st.Word(), st.Attempt)
		key := fmt.Sprintf("%d", i)
		if st.Status == progress.Pending && st.Waiting != nil {
			if st.Waiting.Duration(s.cfg.Now()) < shortPending { // reasons that change quickly are not printed
				continue
			}
			state += " " + st.Waiting.Reason
		}
		if s.printed[key] == state || st.Attempt == 0 && !st.IsWait() && !st.Status.Ended() {
			continue
		}
		if st.Status == progress.Pending && s.cfg.Now().Sub(st.Scheduled) < shortPending {
			continue
		}
		s.printed[key] = state
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

// Clean removes control characters from a line of a job's log, because they could repaint the terminal.
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

// Cut truncates text to a number of columns.
func Cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

// FirstLine returns the first line of a text that is not blank, without control characters.
func FirstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(Clean(line)); line != "" {
			return line
		}
	}
	return ""
}

// Duration formats a duration in a short form: 0.8s, 12.3s, 4m05s, 2h03m.
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
