package pipeline

import (
	"regexp"
	"strings"
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
		c.param(&e.Value, path, false)
	}
}

// param holds choices and default to the rules of the parameter itself: a default that a run would refuse is no default.
// An output need not declare what a list or an object contains, and only its top-level keys can have defaults.
func (c *checker) param(p *Param, path string, output bool) {
	c.bounds(p, path)
	if p.Pattern != "" {
		if err := checkPattern(p.Pattern); err != "" {
			c.report(join(path, "pattern"), "%s", err)
			return
		}
	}
	c.inside(p, path, output)
	report := func(path, msg string) { c.report(path, "%s", msg) }
	for i := range p.Choices {
		p.problems(element(join(path, "choices"), i), p.Choices[i].Value, report)
	}
	if p.Default != nil {
		p.problems(join(path, "default"), p.Default.Value, report)
	}
}

// inside checks what a list's items and an object's properties are.
func (c *checker) inside(p *Param, path string, output bool) {
	items, properties := join(path, "items"), join(path, "properties")
	switch {
	case output:
	case p.Type == "list" && p.Items == nil && !c.written(items):
		c.report(path, "a list needs items, which say what each item must be")
	case p.Type == "object" && p.Properties.Len() == 0:
		c.report(properties, "an object needs at least one property")
	}
	if p.Items != nil {
		c.param(p.Items, items, output)
		if c.written(join(items, "default")) {
			c.report(join(items, "default"), "an item has no default; give the list one")
		}
	}
	for _, e := range p.Properties.Entries {
		at := join(properties, e.Key)
		if !propertyPattern.MatchString(e.Key) {
			c.report(at, "a property's name must be letters, digits, dashes and underscores, and start with a letter or an underscore")
		}
		c.param(&e.Value, at, output)
		if output && c.written(join(at, "default")) {
			c.report(join(at, "default"), "only a top-level key of an output can have a default")
		}
	}
}

// propertyPattern holds of what a reference can name behind a dot.
var propertyPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

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
	for field, kind := range map[string]string{"items": "list", "properties": "object"} {
		if c.written(join(path, field)) && p.Type != kind {
			c.report(join(path, field), "is for %s, not %s", kind, p.Type)
		}
	}
	switch {
	case !c.written(join(path, "choices")):
	case p.Type == "list" || p.Type == "object": // whether JSONata finds a list in a list depends on its implementation
		c.report(join(path, "choices"), "is for string, integer, number and boolean, not %s", p.Type)
	case len(p.Choices) == 0:
		c.report(join(path, "choices"), "needs at least one")
	}
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
