package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Template is a string with references, split into parts.
type Template struct{ Parts []Part }

// Part is a reference if Ref is not nil, otherwise plain text.
type Part struct {
	Text string
	Ref  *Ref
}

// Shell is a Template that is a command for sh. The values of its references are quoted for the shell.
type Shell struct{ Template }

// Ref is a reference to a value of the run.
type Ref struct {
	Text string // as in the file
	Root string // params, steps, run, storage, index, or the name of a loop item
	Path []Key  // path to the value, from the root
}

// Key is an element of a reference's path: a name, or an index if Name is "". A negative index counts from the end of the list.
type Key struct {
	Name  string
	Index int
}

// Plain returns the text of a template without references; ok is false if there is a reference.
func (t Template) Plain() (text string, ok bool) {
	var b strings.Builder
	for _, p := range t.Parts {
		if p.Ref != nil {
			return "", false
		}
		b.WriteString(p.Text)
	}
	return b.String(), true
}

// Sole returns the reference of a template that consists of exactly one reference, or nil. Only then does the value keep its type;
// otherwise it becomes part of a string.
func (t Template) Sole() *Ref {
	if len(t.Parts) == 1 {
		return t.Parts[0].Ref
	}
	return nil
}

// ParseTemplate parses a string with references. $${{ is an escaped ${{.
func ParseTemplate(text string) (Template, error) {
	var t Template
	plain := ""
	for {
		i := strings.Index(text, "${{")
		if i < 0 {
			return t.with(plain + text), nil
		}
		if i > 0 && text[i-1] == '$' {
			plain += text[:i-1] + "${{"
			text = text[i+3:]
			continue
		}
		end := strings.Index(text[i:], "}}")
		if end < 0 {
			return t.with(plain + text), fmt.Errorf("unclosed reference: expected }} after ${{")
		}
		ref, err := ParseRef(text[i+3 : i+end])
		if err != nil {
			return t.with(plain + text), err
		}
		t = t.with(plain + text[:i])
		t.Parts = append(t.Parts, Part{Ref: ref})
		plain, text = "", text[i+end+2:]
	}
}

// with returns the template with plain text added, unless the text is empty.
func (t Template) with(plain string) Template {
	if plain != "" {
		t.Parts = append(t.Parts, Part{Text: plain})
	}
	return t
}

var (
	rootPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*`)
	keyPattern  = regexp.MustCompile(`^(?:\.([A-Za-z_][A-Za-z0-9_-]*)|\[(-?\d{1,9})\]|\['([^'\\\x60]*)'\])`)
)

// ParseRef parses the text between ${{ and }}.
func ParseRef(text string) (*Ref, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errEmptyRef
	}
	ref, rest := scanRef(text)
	if ref == nil || rest != "" {
		return nil, fmt.Errorf("not a valid reference: %q; expected a name and a path such as steps.train.output.loss", text)
	}
	return ref, nil
}

// scanRef parses a reference at the start of text and returns it with the rest of the text, or nil if there is none.
func scanRef(text string) (*Ref, string) {
	root := rootPattern.FindString(text)
	if root == "" {
		return nil, text
	}
	ref, rest := &Ref{Root: root}, text[len(root):]
	for {
		m := keyPattern.FindStringSubmatch(rest)
		if m == nil {
			ref.Text = text[:len(text)-len(rest)]
			return ref, rest
		}
		key := Key{Name: m[1] + m[3]}
		if m[2] != "" {
			key.Index, _ = strconv.Atoi(m[2])
		}
		ref.Path = append(ref.Path, key)
		rest = rest[len(m[0]):]
	}
}

// Name returns the i-th element of the path if it is a name, otherwise "".
func (r *Ref) Name(i int) string {
	if i < len(r.Path) {
		return r.Path[i].Name
	}
	return ""
}
