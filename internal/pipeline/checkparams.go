package pipeline

import (
	"regexp"
	"strconv"
	"strings"
)

// params checks the parameters. Names must also be unique in upper case, because jobs get parameters as RAYORCH_PARAM_<NAME>.
func (c *checker) params() {
	seen := map[string]string{}
	for _, e := range c.p.Params.Entries {
		path := join("params", e.Key)
		if !identPattern.MatchString(e.Key) {
			c.report(path, "a parameter's name must consist of 1 to 64 letters, digits and underscores, and start with a letter")
		}
		if other, twice := seen[strings.ToUpper(e.Key)]; twice {
			c.report(path, "differs from %s only in case, but jobs get both as the environment variable RAYORCH_PARAM_%s",
				other, strings.ToUpper(e.Key))
		}
		seen[strings.ToUpper(e.Key)] = e.Key
		c.param(&e.Value, path, false)
	}
}

// param checks the rules of a parameter, and its choices and default against these rules. output is true for the declaration of an
// output: it can leave the items of a list or the properties of an object undeclared, and only its top-level keys can have
// defaults.
func (c *checker) param(p *Param, path string, output bool) {
	c.bounds(p, path)
	if p.Pattern != "" {
		if err := checkPattern(p.Pattern); err != "" {
			c.report(join(path, "pattern"), "%s", err)
			return
		}
	}
	c.nested(p, path, output)
	report := func(path, msg string) { c.report(path, "%s", msg) }
	for i := range p.Choices {
		p.problems(element(join(path, "choices"), i), p.Choices[i].Value, report)
	}
	if p.Default != nil {
		p.problems(join(path, "default"), p.Default.Value, report)
	}
}

// nested checks the declarations of a list's items and an object's properties.
func (c *checker) nested(p *Param, path string, output bool) {
	items, properties := join(path, "items"), join(path, "properties")
	switch {
	case output:
	case p.Type == "list" && p.Items == nil && !c.written(items):
		c.report(path, "a list must declare its items; for strings: items: {type: string}")
	case p.Type == "object" && p.Properties.Len() == 0:
		c.report(properties, "an object must declare at least one property")
	}
	if p.Items != nil {
		c.param(p.Items, items, output)
		if c.written(join(items, "default")) {
			c.report(join(items, "default"), "an item cannot have a default; set the default of the list")
		}
	}
	for _, e := range p.Properties.Entries {
		at := join(properties, e.Key)
		if !propertyPattern.MatchString(e.Key) {
			c.report(at, "a property's name must consist of 1 to 64 letters, digits, dashes and underscores, "+
				"and start with a letter or an underscore")
		}
		c.param(&e.Value, at, output)
		if output && c.written(join(at, "default")) {
			c.report(join(at, "default"), "only a top-level key of an output can have a default")
		}
	}
}

// propertyPattern matches the names that a reference can contain after a dot.
var propertyPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// bounds checks that the rules fit the type and allow at least one value.
func (c *checker) bounds(p *Param, path string) {
	numeric, textual := p.Type == "integer" || p.Type == "number", p.Type == "string"
	for _, name := range []string{"min", "max"} {
		if c.written(join(path, name)) && !numeric {
			c.report(join(path, name), "is allowed for types integer and number, not %s", p.Type)
		}
	}
	for _, name := range []string{"minLength", "maxLength", "pattern"} {
		if c.written(join(path, name)) && !textual {
			c.report(join(path, name), "is allowed for type string, not %s", p.Type)
		}
	}
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		c.report(join(path, "max"), "must be at least min (%v), got %v", *p.Min, *p.Max)
	}
	if p.MinLength != nil && p.MaxLength != nil && *p.MinLength > *p.MaxLength {
		c.report(join(path, "maxLength"), "must be at least minLength (%d), got %d", *p.MinLength, *p.MaxLength)
	}
	for field, kind := range map[string]string{"items": "list", "properties": "object"} {
		if c.written(join(path, field)) && p.Type != kind {
			c.report(join(path, field), "is allowed for type %s, not %s", kind, p.Type)
		}
	}
	switch {
	case !c.written(join(path, "choices")):
	case p.Type == "list" || p.Type == "object": // JSONata implementations differ in how they compare lists with "in"
		c.report(join(path, "choices"), "is allowed for types string, integer, number and boolean, not %s", p.Type)
	case len(p.Choices) == 0:
		c.report(join(path, "choices"), "must have at least 1 item, got 0")
	}
}

// checkPattern returns the error of a pattern, or "". The definition uses the pattern in JSONata, so that it must be valid there as
// well: JSONata's scanner counts brackets even inside character classes, and JavaScript lacks some of Go's flags and classes.
func checkPattern(pattern string) string {
	if _, err := regexp.Compile(pattern); err != nil {
		return "not a valid regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	}
	if strings.Contains(pattern, "(?") && strings.Count(pattern, "(?") != strings.Count(pattern, "(?:") {
		return "flags and named groups are not supported; of the groups that start with (?, only (?: is allowed"
	}
	for _, odd := range []string{`\A`, `\z`, `\Q`, `\E`, `\C`, `\p`, `\P`, `[[:`, `\a`, `\x{`, "\n"} {
		if strings.Contains(pattern, odd) {
			return strconv.Quote(odd) + " is not supported in patterns"
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
			return unbalanced
		}
	}
	if depth != 0 {
		return unbalanced
	}
	return ""
}

const unbalanced = "unbalanced brackets; inside character classes, put a backslash before each bracket"
