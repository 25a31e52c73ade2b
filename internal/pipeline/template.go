package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Template is text with references: its parts in order.
type Template struct{ Parts []Part }

// Part is plain text, or a reference where Ref is not nil.
type Part struct {
	Text string
	Ref  *Ref
}

// Shell is a Template that is a command for sh: references are quoted when it is put together.
type Shell struct{ Template }

// Ref names a value of the run: a root (params, steps, run, storage, an item's name, index) and a path into it.
type Ref struct {
	Text string // as written
	Root string
	Path []Key
}

// Key is one step of a reference's path: a name, or where Name is empty an index.
type Key struct {
	Name  string
	Index int
}

// Plain is the text of a template without references.
func (t Template) Plain() (string, bool) {
	var b strings.Builder
	for _, p := range t.Parts {
		if p.Ref != nil {
			return "", false
		}
		b.WriteString(p.Text)
	}
	return b.String(), true
}

// Sole is the reference of a template that is nothing else, so that the value keeps its type.
func (t Template) Sole() *Ref {
	if len(t.Parts) == 1 {
		return t.Parts[0].Ref
	}
	return nil
}

// ParseTemplate finds the references in a text. $${{ stands for ${{ itself.
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
			return t.with(plain + text), fmt.Errorf("a reference is not closed: expected }} after ${{")
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

// with adds text, if there is any.
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

// ParseRef reads what stands between ${{ and }}.
func ParseRef(text string) (*Ref, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errEmptyRef
	}
	ref, rest := scanRef(text)
	if ref == nil || rest != "" {
		return nil, fmt.Errorf("cannot read the reference %q; expected a name and a path such as steps.train.output.loss", text)
	}
	return ref, nil
}

// scanRef reads a reference off the start of text and returns what follows it.
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

// Name is the i-th step of the path when it is a name, else empty.
func (r *Ref) Name(i int) string {
	if i < len(r.Path) {
		return r.Path[i].Name
	}
	return ""
}
