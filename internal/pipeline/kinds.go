package pipeline

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Map is a map from strings that keeps the order of the file.
type Map[T any] struct{ Entries []Entry[T] }

// Entry is a key of a Map with its value.
type Entry[T any] struct {
	Key   string
	Value T
}

// Get returns the value of a key and whether the key exists.
func (m Map[T]) Get(key string) (T, bool) {
	for _, e := range m.Entries {
		if e.Key == key {
			return e.Value, true
		}
	}
	var none T
	return none, false
}

// Len returns the number of keys.
func (m Map[T]) Len() int { return len(m.Entries) }

// At returns the i-th key and its value.
func (m Map[T]) At(i int) (string, T) { return m.Entries[i].Key, m.Entries[i].Value }

// Keys returns the keys in order.
func (m Map[T]) Keys() []string {
	keys := make([]string, len(m.Entries))
	for i, e := range m.Entries {
		keys[i] = e.Key
	}
	return keys
}

func (m *Map[T]) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "expected %s, got %s", aMap, describe(n))
		return
	}
	d.pairs(n, path, func(key, val *yaml.Node) {
		d.at[join(path, key.Value)] = position{key.Line, key.Column}
		e := Entry[T]{Key: key.Value}
		d.decode(val, join(path, key.Value), reflect.ValueOf(&e.Value).Elem(), "")
		m.Entries = append(m.Entries, e)
	})
}

func (m *Map[T]) expected() string { return aMap }

func (m *Map[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

// Duration is a duration in seconds. The file has it as 90s, 15m, 2h30m or 1d, or as a number of seconds.
type Duration int64

// Seconds returns the duration in seconds, or 0 if the file does not set it.
func (t Duration) Seconds() int64 { return int64(t) }

var daysPattern = regexp.MustCompile(`^(\d{1,6})d`)

func (t *Duration) decodeNode(d *decoder, n *yaml.Node, path string) {
	secs, ok := parseDuration(n)
	switch {
	case !ok:
		d.fail(n, path, "expected %s, got %s", t.expected(), describe(n))
	case secs < 1 || secs != math.Trunc(secs):
		d.fail(n, path, "must be an integer number of seconds, at least 1s, got %s", n.Value)
	case secs > stepfn.MaxSeconds:
		d.fail(n, path, "must be at most %d seconds, got %s", stepfn.MaxSeconds, n.Value)
	default:
		*t = Duration(secs)
	}
}

// parseDuration returns a duration in seconds. In addition to the syntax of time.ParseDuration, it accepts days (1d12h) and a number
// of seconds without a unit.
func parseDuration(n *yaml.Node) (float64, bool) {
	if f, ok := numberOf(n); ok {
		return f, true
	}
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		return 0, false
	}
	text, days := n.Value, 0.0
	if m := daysPattern.FindStringSubmatch(text); m != nil {
		days, _ = strconv.ParseFloat(m[1], 64)
		if text = text[len(m[0]):]; text == "" {
			return days * 86400, true
		}
	}
	rest, err := time.ParseDuration(text)
	return days*86400 + rest.Seconds(), err == nil
}

func (t *Duration) expected() string { return "a duration such as 90s, 15m, 2h or 1d" }

// Quantity is a size in bytes. The file has it as a number, as a number with a unit (512Mi, 4Gi, 2G), or as a reference to a
// number of bytes.
type Quantity struct {
	Bytes int64
	Ref   *Ref
}

var (
	quantityPattern = regexp.MustCompile(`^(\d{1,15}(?:\.\d{1,6})?)(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$`)
	units           = map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
		"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50}
)

func (q *Quantity) decodeNode(d *decoder, n *yaml.Node, path string) {
	if q.Ref = d.soleRef(n, path); q.Ref != nil {
		return
	}
	m := quantityPattern.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || m == nil {
		d.fail(n, path, "expected %s, got %s", q.expected(), describe(n))
		return
	}
	f, _ := strconv.ParseFloat(m[1], 64)
	f *= units[m[2]]
	if f != math.Trunc(f) || f < 1 || f > 1<<60 {
		d.fail(n, path, "must be an integer number of bytes, from 1 to 2^60, got %s", n.Value)
		return
	}
	q.Bytes = int64(f)
}

func (q *Quantity) expected() string { return "a size such as 512Mi or 4Gi" }

// Number is a number that is at least 0, or a reference to one.
type Number struct {
	Value float64
	Ref   *Ref
}

func (x *Number) decodeNode(d *decoder, n *yaml.Node, path string) {
	if x.Ref = d.soleRef(n, path); x.Ref != nil {
		return
	}
	f, ok := numberOf(n)
	if !ok || f < 0 {
		d.fail(n, path, "expected %s, got %s", x.expected(), describe(n))
		return
	}
	x.Value = f
}

func (x *Number) expected() string { return "a number that is at least 0, or a reference" }

// Literal is a JSON value in which references are not replaced.
type Literal struct{ Value any }

func (l *Literal) decodeNode(d *decoder, n *yaml.Node, path string) {
	l.Value = d.json(n, path, func(_ *yaml.Node, _, text string) any { return text })
}

func (l *Literal) expected() string { return "a value" }

// Dynamic is a JSON value with references: in the tree of Value, each string that contains references is a Template.
type Dynamic struct{ Value any }

func (x *Dynamic) decodeNode(d *decoder, n *yaml.Node, path string) {
	x.Value = d.json(n, path, func(n *yaml.Node, path, text string) any {
		t := d.template(n, path, text)
		if s, plain := t.Plain(); plain {
			return s
		}
		return t
	})
}

func (x *Dynamic) expected() string { return "a value" }

// json converts a node to a JSON value. It calls text for each string.
func (d *decoder) json(n *yaml.Node, path string, text func(n *yaml.Node, path, text string) any) any {
	if n = d.enter(n, path); n == nil {
		return nil
	}
	d.depth++
	defer func() { d.depth-- }()
	switch n.Kind {
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			d.at[element(path, i)] = position{item.Line, item.Column}
			out[i] = d.json(item, element(path, i), text)
		}
		return out
	case yaml.MappingNode:
		o := &value.Object{}
		d.pairs(n, path, func(key, val *yaml.Node) {
			d.at[join(path, key.Value)] = position{key.Line, key.Column}
			o.Set(key.Value, d.json(val, join(path, key.Value), text))
		})
		return o
	}
	return d.jsonScalar(n, path, text)
}

// jsonScalar converts a YAML scalar to a JSON value. Integers keep all digits, also beyond 2^53.
func (d *decoder) jsonScalar(n *yaml.Node, path string, text func(n *yaml.Node, path, text string) any) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if i, ok := new(big.Int).SetString(strings.ReplaceAll(n.Value, "_", ""), 0); ok {
			return value.Number(i.String())
		}
	case "!!float":
		if f, ok := numberOf(n); ok {
			return value.Float(f)
		}
	case "!!str", "!!timestamp":
		return text(n, path, n.Value)
	}
	d.fail(n, path, "%s is not a JSON value; put it in quotes", describe(n))
	return nil
}

// soleRef returns the reference that a string consists of, or nil if the string has no reference. For a string with a reference and
// other text, it reports an error and returns an empty reference, which later checks ignore: the error is reported only once.
func (d *decoder) soleRef(n *yaml.Node, path string) *Ref {
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "${{") {
		return nil
	}
	t := d.template(n, path, n.Value)
	if ref := t.Sole(); ref != nil {
		return ref
	}
	d.fail(n, path, "must be a single reference without other text, got %s", describe(n))
	return &Ref{}
}

// template parses a string with references.
func (d *decoder) template(n *yaml.Node, path, text string) Template {
	t, err := ParseTemplate(text)
	if err != nil {
		d.fail(n, path, "%v", err)
	}
	return t
}

func (t *Template) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(n, path, "expected a string, got %s", describe(n))
		return
	}
	if tag := n.ShortTag(); tag != "!!str" && tag != "!!timestamp" {
		d.fail(n, path, "expected a string, got %s; put it in quotes", n.Value)
		return
	}
	*t = d.template(n, path, n.Value)
}

func (t *Template) expected() string { return "a string" }

// decodeNode also rejects references where quoting their values is not safe (checkShell): this depends only on the text.
func (s *Shell) decodeNode(d *decoder, n *yaml.Node, path string) {
	s.Template.decodeNode(d, n, path)
	if strings.TrimSpace(n.Value) == "" && n.Kind == yaml.ScalarNode {
		d.fail(n, path, "must not be empty")
	}
	if err := checkShell(s.Template); err != nil {
		d.fail(n, path, "%v", err)
	}
}

func (c *Condition) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(n, path, "expected %s, got %s", c.expected(), describe(n))
		return
	}
	parsed, err := ParseCondition(n.Value)
	if err != nil {
		d.fail(n, path, "%v", err)
		return
	}
	*c = *parsed
}

func (c *Condition) expected() string { return "a condition such as params.epochs > 1" }

var errEmptyRef = fmt.Errorf("empty reference; expected a reference such as ${{ params.name }}")
