package stack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Source is a source of parameters, such as the flags, a file or the environment.
type Source struct {
	// Name returns the name of a parameter in this source for error messages, such as "--namespace".
	Name func(Param) string
	// Values maps names of the table to values: strings, or what YAML and JSON decode to.
	Values map[string]any
	// Strict makes a key that is not in the table an error.
	Strict bool
}

// Problem describes a parameter that is missing or invalid.
type Problem struct{ Param, Text string }

func (p Problem) Error() string { return p.Param + ": " + p.Text }

// Problems is an error that reports all problems, one per line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Read takes each parameter from the first source that has it, or else its default. It reports all missing and invalid
// parameters in one error of type Problems.
func Read(sources ...Source) (Params, error) {
	r := reader{sources: sources}
	for _, t := range table {
		r.read(t)
	}
	r.unknown()
	r.checkCombinations()
	if len(r.problems) > 0 {
		return r.p, r.problems
	}
	return r.p, nil
}

type reader struct {
	sources  []Source
	p        Params
	problems Problems
}

func (r *reader) fail(name, format string, args ...any) {
	r.problems = append(r.problems, Problem{name, fmt.Sprintf(format, args...)})
}

// read takes a parameter from the first source that has it, even if that value is invalid: falling back to the next source
// would deploy a value that the user meant to override.
func (r *reader) read(t Param) {
	for _, s := range r.sources {
		v, ok := s.Values[t.Name]
		if !ok || v == nil || v == "" { // Seed-Farmer passes an empty string for a parameter that the manifest leaves empty
			continue
		}
		if err := t.set(&r.p, v); err != nil {
			r.fail(t.Name, "%s is %v; expected %s", s.Name(t), err, t.Want)
		} else if t.given != nil {
			*t.given(&r.p) = true
		}
		return
	}
	switch {
	case t.Required:
		r.fail(t.Name, "is missing; expected %s (%s, --%s)", t.Want, t.Env(), t.Flag())
	case t.Default != "":
		if err := t.set(&r.p, t.Default); err != nil {
			r.fail(t.Name, "%v", err) // an error in the table; a test reads all defaults
		}
	}
}

// unknown reports unknown keys of strict sources: if a key is misspelled, the default would silently apply. The environment
// is not strict, because it has variables of other programs.
func (r *reader) unknown() {
	for _, s := range r.sources {
		if !s.Strict {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(s.Values)) {
			if _, ok := lookup(name); !ok {
				r.fail(name, "unknown parameter; for a list, run: rayorch deploy --help")
			}
		}
	}
}

// checkCombinations checks parameters against each other. It rejects ARNs of different partitions because CloudFormation
// would only do so after minutes, while it creates the first resource that uses one.
func (r *reader) checkCombinations() {
	if r.p.Schedule == "" && (r.p.ScheduleZone != "" || len(r.p.ScheduleInput) > 0) {
		r.fail("schedule", "is missing, but schedule_timezone or schedule_input is set")
	}
	parts := map[string]string{}
	for name, arn := range map[string]string{"eks_cluster_admin_role_arn": r.p.AdminRoleARN,
		"eks_handler_role_arn": r.p.HandlerRoleARN, "eks_oidc_arn": r.p.OIDCARN, "kms_key": r.p.KMSKey} {
		if fields := strings.Split(arn, ":"); len(fields) > 1 {
			parts[fields[1]] = name
		}
	}
	if len(parts) > 1 {
		r.fail("eks_oidc_arn", "the ARNs are in different partitions: %s; all must be in the partition of the stack",
			strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}
	r.p.checkTags(r)
}

func (p Params) checkTags(r *reader) {
	if n := len(p.Tags) + len(p.CustomTags); n > maxTags {
		r.fail("tags", "tags and custom_tags have %d tags, the maximum is %d: AWS allows 50 per resource, of which rayorch reserves %d", n, maxTags, 50-maxTags)
	}
}

// maxTags leaves room for the tags that rayorch adds to every resource: AWS allows 50.
const maxTags = 44

// set decodes and checks a value and assigns it to the parameter's field. The error is the invalid value as text, which
// completes a message such as "--namespace is ...".
func (t Param) set(p *Params, v any) error {
	switch to := t.to(p).(type) {
	case *string:
		return t.setString(to, v)
	case *int:
		return t.setInteger(to, v)
	case *map[string]string:
		return setStringMap(to, v)
	case *map[string]any:
		return setMap(to, v)
	}
	return fmt.Errorf("of an unknown kind")
}

func (t Param) setString(to *string, v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("%s", abbreviated(v))
	}
	if t.check != nil && !t.check(s) || strings.ContainsAny(s, "\x00\n\r") {
		return fmt.Errorf("%s", abbreviated(s))
	}
	*to = s
	return nil
}

func (t Param) setInteger(to *int, v any) error {
	text := fmt.Sprint(v)
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			v = f
		}
	}
	if f, ok := v.(float64); ok { // JSON has no integer type, and fmt.Sprint formats a million as 1e+06
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < t.min || n > t.max {
		return fmt.Errorf("%s", abbreviated(v))
	}
	*to = n
	return nil
}

// tagText matches the characters that AWS allows in tags. isTag checks the length, because an expression that repeats these
// classes up to 256 times takes 10 MB of memory in every process.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// isTag reports whether AWS accepts a tag. AWS reserves keys that start with aws:.
func isTag(key, text string) bool {
	return key != "" && utf8.RuneCountInString(key) <= 128 && utf8.RuneCountInString(text) <= 256 &&
		tagText.MatchString(key) && tagText.MatchString(text) && !strings.HasPrefix(strings.ToLower(key), "aws:")
}

func setStringMap(to *map[string]string, v any) error {
	o, err := mapOf(v)
	if err != nil {
		return err
	}
	out := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(o)) {
		text, ok := o[k].(string)
		if !ok {
			switch o[k].(type) { // YAML decodes an unquoted 42 or true as a number or a boolean
			case bool, int, int64, float64, json.Number:
				text = fmt.Sprint(o[k])
			default:
				return fmt.Errorf("a map with %s in %s", abbreviated(o[k]), k)
			}
		}
		if !isTag(k, text) {
			return fmt.Errorf("a map with the tag %s", abbreviated(k+"="+text))
		}
		out[k] = text
	}
	*to = out
	return nil
}

func setMap(to *map[string]any, v any) error {
	o, err := mapOf(v)
	if err != nil {
		return err
	}
	*to = o
	return nil
}

// mapOf returns a map, decoding it if it is a string of JSON. Numbers in JSON become json.Number, so that they stay exact.
func mapOf(v any) (map[string]any, error) {
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case map[string]string:
		out := map[string]any{}
		for k, s := range v {
			out[k] = s
		}
		return out, nil
	case string:
		var out map[string]any
		d := json.NewDecoder(strings.NewReader(v))
		d.UseNumber()
		if err := d.Decode(&out); err != nil || out == nil || d.More() {
			return nil, fmt.Errorf("%s", abbreviated(v))
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s", abbreviated(v))
}

// abbreviated formats a value for a message: strings are quoted, and long values are cut off after about 80 characters.
func abbreviated(v any) string {
	s, ok := v.(string)
	if !ok {
		text, err := json.Marshal(v)
		if err != nil {
			return "of an unknown kind"
		}
		s = string(text)
		return clip(s, 80)
	}
	if len(s) > 80 {
		s = s[:77] + "..."
	}
	return strconv.Quote(s)
}

// isCertificate reports whether a string is a PEM certificate in base64, with or without line breaks.
func isCertificate(s string) bool {
	data, err := base64.StdEncoding.DecodeString(s)
	return err == nil && strings.Contains(string(data), "-----BEGIN CERTIFICATE-----")
}

var pathPattern = regexp.MustCompile(`^/[A-Za-z0-9._/-]*$`)

// maxPath is the maximum length of a mount path in bytes.
const maxPath = 251

// isMountPath reports whether a path is absolute, is not the root and contains no "..".
func isMountPath(s string) bool {
	return len(s) <= maxPath && pathPattern.MatchString(s) && !slices.Contains(strings.Split(s, "/"), "..") && path.Clean(s) != "/"
}

// EnvNames returns the names of the environment variables of all parameters, for programs that pass an environment on.
func EnvNames() []string {
	names := make([]string, len(table))
	for i, t := range table {
		names[i] = t.Env()
	}
	return names
}
