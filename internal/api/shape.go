package api

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// This file validates the inputs of actions against the constraints of the service's public model, with the messages of AWS's
// framework. A value of the wrong JSON type is a SerializationException. All other violations are reported together in one
// ValidationException.

// member is a parameter of an action.
type member struct {
	name     string
	required bool
	shape    shape
}

// structure is the members of an object, in the model's order.
type structure []member

// shape checks a value. at is its path in AWS's notation (tags.1.member.key). check adds violations to v, and returns an error
// only if the value has the wrong type.
type shape interface {
	check(v *violations, at string, x any) error
}

// violations collects the violations in a request.
type violations struct{ found []string }

// add adds a violation. shown is the quoted value with a space after it, or "" if AWS does not show the value.
func (v *violations) add(at, shown, constraint string) {
	v.found = append(v.found, "Value "+shown+"at '"+at+"' failed to satisfy constraint: "+constraint)
}

// check returns all violations in one error.
func (m structure) check(in *value.Object) error {
	var v violations
	if err := m.members(&v, "", in); err != nil {
		return err
	}
	switch n := len(v.found); n {
	case 0:
		return nil
	case 1:
		return invalid("1 validation error detected: " + v.found[0])
	default:
		return invalid(fmt.Sprintf("%d validation errors detected: %s", n, strings.Join(v.found, "; ")))
	}
}

// members checks all members. A null member counts as missing; unknown members are ignored.
func (m structure) members(v *violations, at string, in *value.Object) error {
	for i := range m {
		x, _ := in.Get(m[i].name)
		if x == nil {
			if m[i].required {
				v.add(at+m[i].name, "", "Member must not be null")
			}
			continue
		}
		if err := m[i].shape.check(v, at+m[i].name, x); err != nil {
			return err
		}
	}
	return nil
}

// nested is a structure within another structure.
type nested structure

func (n nested) check(v *violations, at string, x any) error {
	o, ok := x.(*value.Object)
	if !ok {
		return wrongType(x, "a structure")
	}
	return structure(n).members(v, at+".", o)
}

// stringShape is a string. Zero fields are not checked.
type stringShape struct {
	min, max int  // length
	bytes    bool // the length is in bytes rather than characters
	secret   bool // AWS's messages do not contain the value
	enum     []string
	pattern  string            // for the message only: Go's regexp lacks lookahead
	matches  func(string) bool // implements pattern
}

// check reports at most one violation of a string, as AWS does: the first one in this order.
func (s stringShape) check(v *violations, at string, x any) error {
	t, ok := x.(string)
	if !ok {
		return wrongType(x, "a String")
	}
	shown := "'" + t + "' "
	if s.secret {
		shown = ""
	}
	n := len(t)
	if !s.bytes {
		n = utf8.RuneCountInString(t)
	}
	switch {
	case n < s.min:
		v.add(at, shown, fmt.Sprintf("Member must have length greater than or equal to %d", s.min))
	case s.max > 0 && n > s.max:
		v.add(at, shown, fmt.Sprintf("Member must have length less than or equal to %d", s.max))
	case s.enum != nil && !slices.Contains(s.enum, t):
		v.add(at, shown, "Member must satisfy enum value set: ["+strings.Join(s.enum, ", ")+"]")
	case s.matches != nil && !s.matches(t):
		v.add(at, shown, "Member must satisfy regular expression pattern: "+s.pattern)
	}
	return nil
}

// numberShape is a number in a range. It must be an integer unless fraction is set. If max is 0, there is no upper bound.
type numberShape struct {
	min, max float64
	fraction bool
}

func (s numberShape) check(v *violations, at string, x any) error {
	n, ok := x.(value.Number)
	if !ok {
		return wrongType(x, "an Integer")
	}
	if _, isWhole := n.Int64(); !isWhole && !s.fraction {
		return refusal("SerializationException", "FRACTIONAL_VALUE can not be converted to an Integer")
	}
	shown := "'" + string(n) + "' "
	switch f := n.Float64(); {
	case f < s.min:
		v.add(at, shown, fmt.Sprintf("Member must have value greater than or equal to %g", s.min))
	case s.max > 0 && f > s.max:
		v.add(at, shown, fmt.Sprintf("Member must have value less than or equal to %g", s.max))
	}
	return nil
}

type boolShape struct{}

func (boolShape) check(_ *violations, _ string, x any) error {
	if _, ok := x.(bool); !ok {
		return wrongType(x, "a Boolean")
	}
	return nil
}

// listShape is a list whose items all have the same shape. If max is 0, there is no upper bound.
type listShape struct {
	min, max int
	item     shape
	// show formats the list for messages about its length. Defaults to not showing it.
	show func([]any) string
}

// check checks the length of a list, and then all items. Null items are not checked.
func (s listShape) check(v *violations, at string, x any) error {
	items, ok := x.([]any)
	if !ok {
		return wrongType(x, "a List")
	}
	if len(items) < s.min {
		v.add(at, "'[]' ", fmt.Sprintf("Member must have length greater than or equal to %d", s.min))
	}
	if s.max > 0 && len(items) > s.max {
		shown := ""
		if s.show != nil {
			shown = "'" + s.show(items) + "' "
		}
		v.add(at, shown, fmt.Sprintf("Member must have length less than or equal to %d", s.max))
	}
	for i, item := range items {
		if item == nil {
			continue
		}
		if err := s.item.check(v, fmt.Sprintf("%s.%d.member", at, i+1), item); err != nil {
			return err
		}
	}
	return nil
}

// wrongType returns the error for a value of the wrong JSON type. It is reported alone, because AWS's framework stops reading the
// request there.
func wrongType(x any, wanted string) error {
	kind := "STRUCTURE_VALUE"
	switch x.(type) {
	case bool:
		kind = "BOOLEAN_VALUE"
	case string:
		kind = "STRING_VALUE"
	case value.Number:
		kind = "NUMBER_VALUE"
	case []any:
		kind = "LIST_VALUE"
	}
	return refusal("SerializationException", kind+" can not be converted to "+wanted)
}

// The shapes that several actions share.
var (
	anARN        = stringShape{min: 1, max: 256}
	aLongARN     = stringShape{min: 1, max: 2000}
	aName        = stringShape{min: 1, max: stepfn.MaxName}
	aPayload     = stringShape{max: stepfn.MaxPayload, bytes: true, secret: true}
	aDefinition  = stringShape{min: 1, max: stepfn.MaxDefinition, bytes: true, secret: true}
	aDescription = stringShape{max: 256, secret: true}
	anError      = stringShape{max: stepfn.MaxError, secret: true}
	aCause       = stringShape{max: stepfn.MaxCause, secret: true}
	aToken       = stringShape{min: 1, max: 2048}
	aPageToken   = stringShape{min: 1, max: 1024}
	aPageSize    = numberShape{max: stepfn.MaxPage}
	aTrace       = stringShape{max: 256, pattern: `\p{ASCII}*`, matches: isASCII}
	aMachineType = stringShape{enum: []string{stepfn.Standard, stepfn.Express}}
	included     = stringShape{enum: []string{"ALL_DATA", "METADATA_ONLY"}}
	aBoolean     = boolShape{}
	anAlias      = stringShape{
		min: 1, max: stepfn.MaxName, pattern: `^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$`, matches: isAliasName,
	}
	aClientToken = stringShape{min: 1, max: 64, pattern: `[!-~]+`, matches: func(s string) bool { return isASCII(s) && !strings.Contains(s, " ") }}
	tagList      = listShape{item: nested{
		{name: "key", shape: stringShape{min: 1, max: 128}}, {name: "value", shape: stringShape{max: 256}},
	}}
	logging = nested{
		{name: "level", shape: stringShape{enum: []string{"ALL", "ERROR", "FATAL", "OFF"}}},
		{name: "includeExecutionData", shape: aBoolean},
		{name: "destinations", shape: listShape{item: nested{
			{name: "cloudWatchLogsLogGroup", shape: nested{{name: "logGroupArn", shape: anARN}}},
		}}},
	}
	tracing    = nested{{name: "enabled", shape: aBoolean}}
	encryption = nested{
		{name: "kmsKeyId", shape: stringShape{min: 1, max: 2048}},
		{name: "kmsDataKeyReusePeriodSeconds", shape: numberShape{min: 60, max: 900}},
		{name: "type", required: true, shape: stringShape{enum: []string{"AWS_OWNED_KEY", "CUSTOMER_MANAGED_KMS_KEY"}}},
	}
	paging = structure{{name: "maxResults", shape: aPageSize}, {name: "nextToken", shape: aPageToken}}
)

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isAliasName requires at least one character that is not a digit, so that an alias cannot be confused with a version's number.
func isAliasName(s string) bool {
	other := false
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-', c == '.':
			other = true
		default:
			return false
		}
	}
	return other
}

// with returns a structure with additional members, which come first.
func (m structure) with(more ...member) structure { return append(append(structure{}, more...), m...) }

func required(name string, s shape) member { return member{name, true, s} }
func optional(name string, s shape) member { return member{name, false, s} }
