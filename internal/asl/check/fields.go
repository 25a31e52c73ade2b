package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// at is the context of a value that a rule checks: its location, and the query language of its state.
type at struct {
	c    *checker
	loc  string
	lang language
}

func (a at) schema(format string, args ...any) { a.c.schema(a.loc, fmt.Sprintf(format, args...)) }

func (a at) field(name string) at { return at{a.c, join(a.loc, name), a.lang} }

// join appends a field's name to the location of its object. The location of the machine itself is "/".
func join(loc, name string) string {
	if loc == "/" {
		return loc + name
	}
	return loc + "/" + name
}

// rule checks the value of a field, and reports what is wrong with it.
type rule func(a at, v any)

// fieldRule is the rule for one field of an object. A nil check accepts any value.
type fieldRule struct {
	check rule
	// expression means that JSONata can compute the value: a string of the form {% ... %} is then only checked as an
	// expression.
	expression bool
}

// fieldTable describes the fields of an object. Other fields are reported as not supported. To support a new field of a
// state, add it to the table of its type (states.go, map.go); if it exists in only one query language, add it to onlyIn as
// well.
type fieldTable struct {
	required []string
	rules    map[string]fieldRule
	// oneOf are groups of fields that exclude each other.
	oneOf []group
	// ofState means that the object is a state or a part of one, whose fields of the other query language otherLanguage
	// reports.
	ofState bool
}

// group is a set of fields of which an object has at most one, or exactly one with must.
type group struct {
	fields []string
	must   bool
}

// fields checks an object against its table.
func (c *checker) fields(loc string, o *value.Object, table fieldTable, lang language) {
	if missing := table.missing(o); len(missing) > 0 {
		c.schema(loc, "These fields are required: ["+strings.Join(missing, ", ")+"]")
	}
	for _, g := range table.oneOf {
		c.group(loc, o, g, lang)
	}
	for i := range o.Len() {
		name, v := o.At(i)
		r, ok := table.rules[name]
		switch {
		case !ok && table.ofState && onlyIn[name] == lang.other():
		case !ok:
			c.schema(loc, "Field '"+name+"' is not supported")
		case r.expression && lang == jsonata && isExpression(v):
			c.jsonata(join(loc, name), v.(string))
		case r.check != nil:
			r.check(at{c, join(loc, name), lang}, v)
		}
	}
}

// missing returns the required fields that the object does not have.
func (t fieldTable) missing(o *value.Object) []string {
	var names []string
	for _, name := range t.required {
		if !o.Has(name) {
			names = append(names, name)
		}
	}
	return names
}

// group checks a group. As in AWS's messages, it names all fields of the group if there are too many, but only those of the
// query language if there is none.
func (c *checker) group(loc string, o *value.Object, g group, lang language) {
	n := 0
	for _, name := range g.fields {
		if o.Has(name) {
			n++
		}
	}
	names := slices.DeleteFunc(slices.Clone(g.fields), func(name string) bool { return onlyIn[name] == lang.other() })
	switch {
	case n > 1:
		c.schema(loc, "There should only be one of the following fields: ["+strings.Join(g.fields, ", ")+"]")
	case n == 0 && g.must:
		c.schema(loc, "This object should have only one of the following fields: ["+strings.Join(names, ", ")+"]")
	}
}

// isExpression reports whether JSONata computes the value: a string that starts with {% and ends with %}.
func isExpression(v any) bool {
	s, ok := v.(string)
	return ok && strings.HasPrefix(s, "{%") && strings.HasSuffix(s, "%}") && len(s) >= 4
}

func isString(a at, v any) {
	if _, ok := v.(string); !ok {
		a.schema("Expected value of type [STRING]")
	}
}

func isBoolean(a at, v any) {
	if _, ok := v.(bool); !ok {
		a.schema("Expected value of type [BOOLEAN]")
	}
}

func isObject(a at, v any) {
	if _, ok := v.(*value.Object); !ok {
		a.schema("Expected value of type [OBJECT]")
	}
}

func isArray(a at, v any) {
	if _, ok := v.([]any); !ok {
		a.schema("Expected value of type [ARRAY]")
	}
}

func isNonEmptyObject(a at, v any) {
	if o, ok := v.(*value.Object); ok && o.Len() == 0 {
		a.schema("Value cannot be empty")
	} else {
		isObject(a, v)
	}
}

func isNonEmptyArray(a at, v any) {
	if list, ok := v.([]any); ok && len(list) == 0 {
		a.schema("Value cannot be empty")
	} else {
		isArray(a, v)
	}
}

// eachOf returns a rule for a list that must not be empty. It checks every item, so that one error does not hide others.
func eachOf(check rule) rule {
	return func(a at, v any) {
		isNonEmptyArray(a, v)
		list, _ := v.([]any)
		for i, item := range list {
			check(at{a.c, a.loc + "[" + itoa(i) + "]", a.lang}, item)
		}
	}
}

// oneOf returns a rule for a string with a fixed set of values.
func oneOf(allowed ...string) rule {
	return func(a at, v any) {
		s, ok := v.(string)
		if !ok {
			a.schema("Expected value of type [STRING]")
		} else if !slices.Contains(allowed, s) {
			a.schema("Value should be one of the following: [%s]", strings.Join(allowed, ", "))
		}
	}
}

// integer returns a rule for integers in a range; high 0 means that there is no upper bound.
func integer(low, high int64) rule {
	return func(a at, v any) {
		n, ok := v.(value.Number)
		i, isInteger := n.Int64()
		switch {
		case !ok || !isInteger:
			a.schema("Expected value of type Integer")
		case i < low:
			a.schema("Minimum value is %d", low)
		case high > 0 && i > high:
			a.schema("Maximum value is %d", high)
		}
	}
}

// number returns a rule for numbers in a range; high 0 means that there is no upper bound. AWS prints these bounds with one
// decimal.
func number(low, high float64) rule {
	return func(a at, v any) {
		n, ok := v.(value.Number)
		switch f := n.Float64(); {
		case !ok:
			a.schema("Expected value of type Number")
		case f < low:
			a.schema("Minimum value is %.1f", low)
		case high > 0 && f > high:
			a.schema("Maximum value is %.1f", high)
		}
	}
}
