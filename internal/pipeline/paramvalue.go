package pipeline

import (
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/value"
)

// problems reports all errors of v as the parameter's value, each at its path.
func (p *Param) problems(path string, v any, report func(path, msg string)) {
	if msg := p.Refuses(v); msg != "" {
		report(path, msg)
		return
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			if p.Items != nil {
				p.Items.problems(element(path, i), v[i], report)
			}
		}
	case *value.Object:
		for _, name := range v.Keys() {
			if _, known := p.Properties.Get(name); !known {
				report(join(path, name), "is not declared"+orOneOf(name, p.Properties.Keys()))
			}
		}
		for _, e := range p.Properties.Entries {
			e.Value.check(e.Key, v, join(path, e.Key), report)
		}
	}
}

// check reports all errors of the value that the object has for the parameter, or that it is missing.
func (p *Param) check(name string, in *value.Object, path string, report func(path, msg string)) {
	v, ok := in.Get(name)
	switch {
	case ok:
		p.problems(path, v, report)
	case p.Default == nil:
		report(path, "is missing")
	}
}

// Normalize returns a valid value in the form that the steps of a run get: an integer written as 1e3 or 1.0 is 1000 or 1, and missing
// properties of an object have their defaults. Package compile generates the same conversion for the definition.
func (p *Param) Normalize(v any) any {
	switch v := v.(type) {
	case value.Number:
		if p.Type == "integer" {
			return value.Int(int64(v.Float64()))
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = p.Items.Normalize(v[i])
		}
		return out
	case *value.Object:
		out := &value.Object{}
		for _, e := range p.Properties.Entries {
			item, ok := v.Get(e.Key)
			if !ok {
				item = e.Value.Default.Value
			}
			out.Set(e.Key, e.Value.Normalize(item))
		}
		return out
	}
	return v
}

// Refuses returns the reason why v cannot be the parameter's value, or "". It does not look into lists and objects. Package compile
// generates the same rules and messages for the definition.
func (p *Param) Refuses(v any) string {
	if msg := p.refusesType(v); msg != "" {
		return msg
	}
	if n, ok := v.(value.Number); ok {
		switch f := n.Float64(); {
		case p.Min != nil && f < *p.Min:
			return "must be at least " + string(value.Float(*p.Min))
		case p.Max != nil && f > *p.Max:
			return "must be at most " + string(value.Float(*p.Max))
		}
	}
	if text, ok := v.(string); ok {
		if msg := p.refusesText(text); msg != "" {
			return msg
		}
	}
	if len(p.Choices) > 0 && !slices.ContainsFunc(p.Choices, func(l Literal) bool { return value.Equal(l.Value, v) }) {
		return "must be one of " + p.ChoiceList()
	}
	return ""
}

// refusesText applies the rules for strings. Lengths are in characters (code points), as in JSONata.
func (p *Param) refusesText(text string) string {
	n := utf8.RuneCountInString(text)
	switch {
	case p.MinLength != nil && n < *p.MinLength:
		return "must have at least " + string(value.Int(int64(*p.MinLength))) + " characters"
	case p.MaxLength != nil && n > *p.MaxLength:
		return "must have at most " + string(value.Int(int64(*p.MaxLength))) + " characters"
	case p.Pattern != "":
		if re, err := regexp.Compile("^(?:" + p.Pattern + ")$"); err == nil && !re.MatchString(text) {
			return "must match " + p.Pattern
		}
	}
	return ""
}

// TypeWords are the messages for a value that does not have the parameter's type, by type.
var TypeWords = map[string]string{
	"string": "must be a string", "integer": "must be an integer", "number": "must be a number",
	"boolean": "must be true or false", "list": "must be a list", "object": "must be an object",
}

// refusesType checks the type. The absolute value of an integer is at most 2^53, because JSONata calculates with floats.
func (p *Param) refusesType(v any) string {
	n, isNumber := v.(value.Number)
	ok := false
	switch p.Type {
	case "string":
		ok = reflect.TypeOf(v) == reflect.TypeFor[string]()
	case "boolean":
		ok = reflect.TypeOf(v) == reflect.TypeFor[bool]()
	case "list":
		ok = reflect.TypeOf(v) == reflect.TypeFor[[]any]()
	case "object":
		ok = reflect.TypeOf(v) == reflect.TypeFor[*value.Object]()
	case "number":
		ok = isNumber
	case "integer":
		f := n.Float64()
		ok = isNumber && f == math.Trunc(f) && math.Abs(f) <= 1<<53
	default:
		return ""
	}
	if ok {
		return ""
	}
	return TypeWords[p.Type]
}

// ChoiceList returns the choices, separated by commas.
func (p *Param) ChoiceList() string {
	words := make([]string, len(p.Choices))
	for i, l := range p.Choices {
		if s, ok := l.Value.(string); ok {
			words[i] = s
		} else {
			words[i] = value.Text(l.Value)
		}
	}
	return strings.Join(words, ", ")
}
