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

// params checks names as identifiers and as environment variables, which know no case here.
func (c *checker) params() {
	seen := map[string]string{}
	for _, e := range c.p.Params.Entries {
		path := join("params", e.Key)
		if !identPattern.MatchString(e.Key) {
			c.report(path, "a parameter's name must be letters, digits and underscores, and start with a letter")
		}
		if other, twice := seen[strings.ToUpper(e.Key)]; twice {
			c.report(path, "differs from %s only in case, but becomes an environment variable in capitals", other)
		}
		seen[strings.ToUpper(e.Key)] = e.Key
		c.param(&e.Value, path)
	}
}

// param holds choices and default to the rules of the parameter itself: a default that a run would refuse is no default.
func (c *checker) param(p *Param, path string) {
	c.bounds(p, path)
	if p.Pattern != "" {
		if err := checkPattern(p.Pattern); err != "" {
			c.report(join(path, "pattern"), "%s", err)
			return
		}
	}
	for i := range p.Choices {
		if msg := p.Refuses(p.Choices[i].Value); msg != "" {
			c.report(element(join(path, "choices"), i), "%s", msg)
		}
	}
	if p.Default != nil {
		if msg := p.Refuses(p.Default.Value); msg != "" {
			c.report(join(path, "default"), "%s", msg)
		}
	}
}

// bounds checks that rules fit the type and leave something over.
func (c *checker) bounds(p *Param, path string) {
	numeric, textual := p.Type == "integer" || p.Type == "number", p.Type == "string"
	for _, name := range []string{"min", "max"} {
		if c.written(join(path, name)) && !numeric {
			c.report(join(path, name), "is for integer and number, not %s", p.Type)
		}
	}
	for _, name := range []string{"minLength", "maxLength", "pattern"} {
		if c.written(join(path, name)) && !textual {
			c.report(join(path, name), "is for string, not %s", p.Type)
		}
	}
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		c.report(join(path, "max"), "must be at least min")
	}
	if p.MinLength != nil && p.MaxLength != nil && *p.MinLength > *p.MaxLength {
		c.report(join(path, "maxLength"), "must be at least minLength")
	}
	if c.written(join(path, "choices")) && len(p.Choices) == 0 {
		c.report(join(path, "choices"), "needs at least one")
	}
}

// Refuses says why v cannot be the parameter's value; empty when it can. Package compile puts the same rules into the
// definition, in the same words.
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

// refusesText applies the rules for text; lengths count characters, as JSONata does.
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

// TypeWords are what a parameter of each type must be, in words.
var TypeWords = map[string]string{
	"string": "must be text", "integer": "must be a whole number", "number": "must be a number",
	"boolean": "must be true or false",
}

// refusesType takes whole numbers up to 2^53 only: JSONata calculates with floats.
func (p *Param) refusesType(v any) string {
	n, isNumber := v.(value.Number)
	ok := false
	switch p.Type {
	case "string":
		ok = reflect.TypeOf(v) == reflect.TypeFor[string]()
	case "boolean":
		ok = reflect.TypeOf(v) == reflect.TypeFor[bool]()
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

// ChoiceList is the choices in one line.
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

// checkPattern refuses what JSONata's regular expressions cannot hold: its scanner counts brackets even inside classes,
// and Go's dialect has flags and classes that JavaScript's lacks.
func checkPattern(pattern string) string {
	if _, err := regexp.Compile(pattern); err != nil {
		return "is no regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	}
	if strings.Contains(pattern, "(?") && strings.Count(pattern, "(?") != strings.Count(pattern, "(?:") {
		return "flags and named groups cannot be used; write the pattern without (?"
	}
	for _, odd := range []string{`\A`, `\z`, `\Q`, `\E`, `\C`, `\p`, `\P`, `[[:`, `\a`, `\x{`, "\n"} {
		if strings.Contains(pattern, odd) {
			return odd + " cannot be used in patterns"
		}
	}
	depth := 0
	for i := range len(pattern) {
		escaped := i > 0 && pattern[i-1] == '\\'
		switch c := pattern[i]; {
		case escaped:
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		}
		if depth < 0 {
			return "write brackets inside classes with a backslash"
		}
	}
	if depth != 0 {
		return "write brackets inside classes with a backslash"
	}
	return ""
}
