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

// Source is one place that gives parameters: flags, a file, the environment. Values are texts, or what YAML and JSON
// decode to.
type Source struct {
	// Name is what the place calls a parameter, for messages: "--namespace".
	Name func(Param) string
	// Values are the parameters by their names in the table.
	Values map[string]any
	// Strict sources have no other keys: an unknown one is a mistake.
	Strict bool
}

// Problem is one parameter that is missing or wrong.
type Problem struct{ Param, Text string }

func (p Problem) Error() string { return p.Param + ": " + p.Text }

// Problems are all of them at once, one a line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Read takes each parameter from the first source that has it, else its default. All that is missing or wrong is
// reported at once, as Problems.
func Read(sources ...Source) (Params, error) {
	r := reader{sources: sources}
	for _, t := range table {
		r.read(t)
	}
	r.unknown()
	r.together()
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

// read takes a parameter from the first source that has it, also when its value is wrong there: the next one's would be
// deployed although nobody asked for it.
func (r *reader) read(t Param) {
	for _, s := range r.sources {
		v, ok := s.Values[t.Name]
		if !ok || v == nil || v == "" { // Seed-Farmer passes what a manifest leaves empty as an empty text
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
			r.fail(t.Name, "%v", err) // a mistake in the table; a test reads all defaults
		}
	}
}

// unknown reports keys that a strict source should not have: a misspelt one would quietly leave a default in force. The
// environment holds much that is not ours, and is not strict.
func (r *reader) unknown() {
	for _, s := range r.sources {
		if !s.Strict {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(s.Values)) {
			if _, ok := lookup(name); !ok {
				r.fail(name, "is no parameter; rayorch deploy --help lists them")
			}
		}
	}
}

// together checks what no parameter can be judged by alone. ARNs of two partitions would be refused by CloudFormation only
// after minutes, at whatever resource came to them first.
func (r *reader) together() {
	if r.p.Schedule == "" && (r.p.ScheduleZone != "" || len(r.p.ScheduleInput) > 0) {
		r.fail("schedule", "is missing, while schedule_timezone or schedule_input is given")
	}
	parts := map[string]string{}
	for name, arn := range map[string]string{"eks_cluster_admin_role_arn": r.p.AdminRoleARN,
		"eks_handler_role_arn": r.p.HandlerRoleARN, "eks_oidc_arn": r.p.OIDCARN, "kms_key": r.p.KMSKey} {
		if fields := strings.Split(arn, ":"); len(fields) > 1 {
			parts[fields[1]] = name
		}
	}
	if len(parts) > 1 {
		r.fail("eks_oidc_arn", "the ARNs are of different partitions: %s; a stack lives in one",
			strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}
	r.p.checkTags(r)
}

func (p Params) checkTags(r *reader) {
	if n := len(p.Tags) + len(p.CustomTags); n > maxTags {
		r.fail("tags", "%d tags with custom_tags; AWS takes 50, and some are ours: at most %d", n, maxTags)
	}
}

// maxTags leaves room for the tags that every resource gets.
const maxTags = 44

// set decodes a value, checks it and puts it in its place. The error says what it is instead.
func (t Param) set(p *Params, v any) error {
	switch to := t.to(p).(type) {
	case *string:
		return t.setText(to, v)
	case *int:
		return t.setInteger(to, v)
	case *map[string]string:
		return t.setTexts(to, v)
	case *map[string]any:
		return setObject(to, v)
	}
	return fmt.Errorf("of no known kind")
}

func (t Param) setText(to *string, v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("%s", shown(v))
	}
	if t.check != nil && !t.check(s) || strings.ContainsAny(s, "\x00\n\r") {
		return fmt.Errorf("%s", shown(s))
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
	if f, ok := v.(float64); ok { // JSON knows no whole numbers; 1e+06 would be none
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < t.least || n > t.most {
		return fmt.Errorf("%s", shown(v))
	}
	*to = n
	return nil
}

// Lengths are checked beside these expressions: one that repeats such classes 256 times takes 10 MB of every process.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// isTag tells whether AWS takes a tag. Keys that begin with aws: are its own.
func isTag(key, text string) bool {
	return key != "" && utf8.RuneCountInString(key) <= 128 && utf8.RuneCountInString(text) <= 256 &&
		tagText.MatchString(key) && tagText.MatchString(text) && !strings.HasPrefix(strings.ToLower(key), "aws:")
}

func (t Param) setTexts(to *map[string]string, v any) error {
	o, err := object(v)
	if err != nil {
		return err
	}
	out := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(o)) {
		text, ok := o[k].(string)
		if !ok {
			switch o[k].(type) { // YAML reads 42 and true where a tag's text was meant
			case bool, int, int64, float64, json.Number:
				text = fmt.Sprint(o[k])
			default:
				return fmt.Errorf("an object with %s in %s", shown(o[k]), k)
			}
		}
		if !isTag(k, text) {
			return fmt.Errorf("an object with the tag %s", shown(k+"="+text))
		}
		out[k] = text
	}
	*to = out
	return nil
}

func setObject(to *map[string]any, v any) error {
	o, err := object(v)
	if err != nil {
		return err
	}
	*to = o
	return nil
}

// object is a mapping, or the JSON text of one. Numbers keep their text.
func object(v any) (map[string]any, error) {
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
			return nil, fmt.Errorf("%s", shown(v))
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s", shown(v))
}

// shown is a value in a message: quoted, and cut where it is long.
func shown(v any) string {
	s, ok := v.(string)
	if !ok {
		text, err := json.Marshal(v)
		if err != nil {
			return "of no known kind"
		}
		s = string(text)
		return clip(s, 80)
	}
	if len(s) > 80 {
		s = s[:77] + "..."
	}
	return strconv.Quote(s)
}

// isCertificate holds of PEM in base64; line breaks in the base64 are borne.
func isCertificate(s string) bool {
	data, err := base64.StdEncoding.DecodeString(s)
	return err == nil && strings.Contains(string(data), "-----BEGIN CERTIFICATE-----")
}

var pathPattern = regexp.MustCompile(`^/[A-Za-z0-9._/-]*$`)

// maxPath is its longest text, in bytes.
const maxPath = 251

// isMountPath holds of an absolute path that stays where it says.
func isMountPath(s string) bool {
	return len(s) <= maxPath && pathPattern.MatchString(s) && !slices.Contains(strings.Split(s, "/"), "..") && path.Clean(s) != "/"
}

// EnvNames are the parameters' variables, for whoever passes an environment on.
func EnvNames() []string {
	names := make([]string, len(table))
	for i, t := range table {
		names[i] = t.Env()
	}
	return names
}
