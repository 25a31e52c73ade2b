package conformance

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// words are masks that replace a whole value. tokens, in angle brackets, can replace any part of a text.
var (
	words = map[string]bool{"timestamp": true, "date": true, "datetime": true, "start-time": true, "entered-time": true,
		"start-date": true, "stop-date": true, "creation-date": true, "RandomNumberGenerated": true}
	tokens = regexp.MustCompile(`<[A-Za-z][\w-]*(:\d+)?>`)
)

// Match compares a masked recording with our result. It returns the first difference, or "" if there is none.
func Match(want, got any) string { return match("", want, got) }

// match also compares an object with a text that contains it: some recordings have parsed such texts.
func match(at string, want, got any) string {
	if text, ok := want.(string); ok {
		return matchText(at, text, got)
	}
	if text, ok := got.(string); ok && text != "" && text[0] == '{' {
		if v, err := value.Parse([]byte(text)); err == nil { // the recording has it parsed
			got = v
		}
	}
	switch want := want.(type) {
	case *value.Object:
		return matchObject(at, want, got)
	case []any:
		return matchArray(at, want, got)
	}
	if !value.Equal(want, got) {
		return differ(at, want, got)
	}
	return ""
}

func differ(at string, want, got any) string {
	return fmt.Sprintf("%s: want %s, got %s", at, show(want), show(got))
}

func show(v any) string {
	text := value.Text(v)
	if len(text) > 300 {
		return text[:300] + "..."
	}
	return text
}

// matchText supports both kinds of masks.
func matchText(at, want string, got any) string {
	if words[want] {
		switch got.(type) {
		case string, value.Number:
			return ""
		}
		return differ(at, want, got)
	}
	text, ok := got.(string)
	if !ok {
		return differ(at, want, got)
	}
	if text == want || tokens.MatchString(want) && pattern(want).MatchString(text) {
		return ""
	}
	return differ(at, want, got)
}

// pattern returns a regular expression for a recorded text, in which tokens match anything.
func pattern(want string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	from := 0
	for _, at := range tokens.FindAllStringIndex(want, -1) {
		b.WriteString(regexp.QuoteMeta(want[from:at[0]]))
		b.WriteString(`.*`)
		from = at[1]
	}
	b.WriteString(regexp.QuoteMeta(want[from:]))
	b.WriteString(`$`)
	return regexp.MustCompile(b.String())
}

// matchObject requires the same keys on both sides, in any order.
func matchObject(at string, want *value.Object, got any) string {
	o, ok := got.(*value.Object)
	if !ok {
		return differ(at, want, got)
	}
	for i := range want.Len() {
		k, v := want.At(i)
		have, ok := o.Get(k)
		if !ok {
			return fmt.Sprintf("%s.%s: missing, want %s", at, k, show(v))
		}
		if d := match(at+"."+k, v, have); d != "" {
			return d
		}
	}
	for i := range o.Len() {
		if k, v := o.At(i); !has(want, k) {
			return fmt.Sprintf("%s.%s: not recorded, got %s", at, k, show(v))
		}
	}
	return ""
}

func has(o *value.Object, k string) bool {
	_, ok := o.Get(k)
	return ok
}

func matchArray(at string, want []any, got any) string {
	list, ok := got.([]any)
	if !ok || len(list) != len(want) {
		return differ(at, want, got)
	}
	for i := range want {
		if d := match(fmt.Sprintf("%s[%d]", at, i), want[i], list[i]); d != "" {
			return d
		}
	}
	return ""
}

// Parallel converts a history to the form of recordings in which branches were made comparable: between the start and the end
// of a Parallel, events are sorted by type and name, their ids are hidden, and the end itself is omitted.
func Parallel(events []any) []any {
	out := make([]any, 0, len(events))
	for i := 0; i < len(events); i++ {
		out = append(out, events[i])
		if typeOf(events[i]) != "ParallelStateStarted" {
			continue
		}
		end := i + 1
		for end < len(events) && typeOf(events[end]) != "ParallelStateSucceeded" {
			end++
		}
		if end == len(events) {
			continue
		}
		inner := hide(events[i+1 : end])
		slices.SortStableFunc(inner, func(a, b any) int { return cmp.Compare(sortKey(a), sortKey(b)) })
		out = append(out, inner...)
		i = end
	}
	return out
}

// hide removes everything that depends on how branches interleave.
func hide(events []any) []any {
	out := make([]any, len(events))
	for i, e := range events {
		o := e.(*value.Object)
		out[i] = o.With("id", []any{value.Int(0)}).With("previousEventId", value.Int(0))
	}
	return out
}

// sortKey returns the type of an event and the name of its state, if it has one.
func sortKey(e any) string {
	o := e.(*value.Object)
	for _, k := range []string{"stateEnteredEventDetails", "stateExitedEventDetails"} {
		if d, ok := o.Get(k); ok {
			name, _ := d.(*value.Object).Get("name")
			return typeOf(e) + " " + fmt.Sprint(name)
		}
	}
	return typeOf(e)
}

func typeOf(e any) string {
	o, ok := e.(*value.Object)
	if !ok {
		return ""
	}
	t, _ := o.Get("type")
	s, _ := t.(string)
	return s
}

// Types returns the types of events.
func Types(events []any) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = typeOf(e)
	}
	return out
}
