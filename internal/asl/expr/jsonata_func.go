package expr

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/value"
)

// libraryFunc is a function as the library calls it: arguments, and the context item. A nil argument or result is
// "undefined".
type libraryFunc = func(args []any, focus any) (any, error)

var merge libraryFunc

func init() { merge = plain(root, "merge") } // not in the declaration: root's functions come here too

// newOrderedMap makes an empty object of the library's type: $merge of nothing is one.
func newOrderedMap() orderedMap {
	v, err := merge([]any{[]any{}}, nil)
	m, ok := v.(orderedMap)
	if err != nil || !ok {
		panic("expr: the JSONata library makes no objects")
	}
	return m
}

// plain is a function of the library, to be called from here.
func plain(env environment, name string) libraryFunc {
	f, _ := env.Lookup(name)
	return reflect.ValueOf(f).Convert(reflect.TypeFor[libraryFunc]()).Interface().(libraryFunc)
}

// withFunctions adds Step Functions' functions, takes $eval away, and makes those deterministic that are not.
func withFunctions[E environment](env E) E {
	bind := func(name string, f libraryFunc) {
		env.Bind(name, reflect.ValueOf(f).Convert(kindOf(env, "merge")).Interface())
	}
	bind("partition", partitionFunc)
	bind("range", rangeFunc)
	bind("hash", hashFunc)
	bind("parse", parseFunc)
	bind("pad", padFunc(plain(env, "pad")))
	scoped := func(name string, f func(s *Scope, args []any) (any, error)) {
		aware := func(args []any, _ any, inside E) (any, error) {
			e, ok := inside.Context().(*evaluation)
			if !ok {
				return nil, errors.New("no evaluation")
			}
			return f(e.scope, args)
		}
		env.Bind(name, reflect.ValueOf(aware).Convert(kindOf(env, "map")).Interface())
	}
	fromMillis := plain(env, "fromMillis")
	scoped("now", func(s *Scope, args []any) (any, error) {
		return fromMillis(append([]any{millis(s)}, args...), nil)
	})
	scoped("millis", func(s *Scope, _ []any) (any, error) { return millis(s), nil })
	scoped("random", randomFunc)
	scoped("uuid", func(s *Scope, _ []any) (any, error) { return newUUID(s.random()), nil })
	scoped("shuffle", shuffleFunc)
	for _, name := range []string{"eval", "flatten", "values"} { // not in Step Functions; the last two in no JSONata 2.0.6
		env.Bind(name, nil)
	}
	bind("clone", func(args []any, _ any) (any, error) { return append(args, nil)[0], nil }) // values never change
	mend(env)
	return env
}

// mend corrects functions of the library that differ from the reference implementation 2.0.6.
func mend[E environment](env E) {
	type aware = func(args []any, focus any, inside E) (any, error)
	wrap := func(name string, after func(out any) any) {
		f, _ := env.Lookup(name)
		inner := reflect.ValueOf(f).Convert(reflect.TypeFor[aware]()).Interface().(aware)
		outer := func(args []any, focus any, inside E) (any, error) {
			out, err := inner(args, focus, inside)
			return after(out), err
		}
		env.Bind(name, reflect.ValueOf(outer).Convert(reflect.TypeOf(f)).Interface())
	}
	wrap("filter", func(out any) any { // a single result stands for itself
		if a, ok := out.([]any); ok && len(a) == 1 {
			return a[0]
		}
		return out
	})
	wrap("match", matches20)
}

// matches20 gives the results of $match the fields of 2.0.6: match, index, groups.
func matches20(out any) any {
	list, ok := sequence(out)
	if !ok {
		return match20(out)
	}
	for i := range list {
		list[i] = match20(list[i])
	}
	return out
}

// match20 takes the fields start and end for index: the library follows a later version.
func match20(v any) any {
	old, ok := v.(map[string]any)
	if !ok {
		return v
	}
	m := newOrderedMap()
	m.Set("match", old["match"])
	m.Set("index", old["start"])
	m.Set("groups", old["groups"])
	return m
}

// sequence are the elements of an array, or of the library's list of results, whose type it does not export.
func sequence(v any) ([]any, bool) {
	if a, ok := v.([]any); ok {
		return a, true
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct {
		return nil, false
	}
	field := p.Elem().FieldByName("Values")
	if !field.IsValid() {
		return nil, false
	}
	a, ok := field.Interface().([]any)
	return a, ok
}

// builtinFunctions are the names that the library or Step Functions binds: no variables of the workflow.
var builtinFunctions = func() map[string]bool {
	names := map[string]bool{"states": true}
	for _, name := range []string{
		"string", "length", "substring", "substringBefore", "substringAfter", "uppercase", "lowercase", "trim", "pad",
		"contains", "split", "join", "match", "replace", "eval", "base64encode", "base64decode", "encodeUrlComponent",
		"encodeUrl", "decodeUrlComponent", "decodeUrl", "number", "abs", "floor", "ceil", "round", "power", "sqrt",
		"random", "formatNumber", "formatBase", "formatInteger", "parseInteger", "sum", "max", "min", "average",
		"boolean", "not", "exists", "count", "append", "sort", "reverse", "shuffle", "distinct", "zip", "keys", "lookup",
		"spread", "merge", "sift", "each", "error", "assert", "type", "now", "millis", "fromMillis", "toMillis", "map",
		"filter", "single", "reduce", "clone", "partition", "range", "hash", "uuid", "parse",
	} {
		names[name] = true
	}
	return names
}()

// millis is the scope's time and not the clock's: a replay shows the same.
func millis(s *Scope) any { return float64(s.Now.UnixMilli()) }

// libraryInt is a whole number among the arguments; a fraction is cut off. ok is false when there is none.
func libraryInt(args []any, i int) (n int64, ok bool, err error) {
	if i >= len(args) || args[i] == nil {
		return 0, false, nil
	}
	var f float64
	switch v := args[i].(type) {
	case float64:
		f = v
	case json.Number:
		f, _ = v.Float64()
	default:
		return 0, false, typeError(i)
	}
	if math.IsNaN(f) || math.Abs(f) > 1<<53 {
		return 0, false, typeError(i)
	}
	return int64(f), true, nil
}

// libraryError is an error with a code of JSONata's, which the message begins with.
type libraryError struct{ code, msg string }

func (e *libraryError) Error() string { return e.code + ": " + e.msg }

// typeError is the error of a function that got an argument of a wrong type, the first one being number 1.
func typeError(i int) error {
	return &libraryError{"T0410", "Argument " + string(value.Int(int64(i+1))) + " of function does not match function signature"}
}

// partitionFunc is $partition: an array in parts of a size. No size, or an empty array, gives nothing.
func partitionFunc(args []any, _ any) (any, error) {
	if len(args) == 0 || args[0] == nil {
		return nil, nil
	}
	a, ok := args[0].([]any)
	if !ok {
		a = []any{args[0]}
	}
	size, ok, err := libraryInt(args, 1)
	if err != nil || !ok || size < 1 || len(a) == 0 {
		return nil, err
	}
	return partition(a, size), nil
}

// maxRange is how many numbers $range makes: Step Functions refuses one more.
const maxRange = 360_145

// rangeFunc is $range: the numbers from a first to a last one. One number alone is no array.
func rangeFunc(args []any, _ any) (any, error) {
	from, ok1, err1 := libraryInt(args, 0)
	to, ok2, err2 := libraryInt(args, 1)
	step, ok3, err3 := libraryInt(args, 2)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if !ok1 || !ok2 || !ok3 || step == 0 || step > 0 && from > to || step < 0 && from < to {
		return nil, nil
	}
	n := (to-from)/step + 1
	if n > maxRange {
		return nil, errMemory
	}
	if n == 1 {
		return float64(from), nil
	}
	out := make([]any, n)
	for i := range out {
		out[i] = float64(from + int64(i)*step)
	}
	return out, nil
}

// maxPad is how many characters $pad adds: Step Functions refuses one more, whatever the string holds already.
const maxPad = 262_144

// padFunc is $pad. The library pads to 10,000 characters only, so what is longer is padded here; all else, with its
// errors, stays the library's.
func padFunc(library libraryFunc) libraryFunc {
	return func(args []any, focus any) (any, error) {
		if len(args) < 2 {
			return library(args, focus)
		}
		s, isText := args[0].(string)
		width, isNumber, err := libraryInt(args, 1)
		if err != nil || !isText || !isNumber {
			return library(args, focus)
		}
		with := " "
		if len(args) > 2 && args[2] != nil {
			if with, isText = args[2].(string); !isText {
				return library(args, focus)
			}
		}
		return pad(s, width, with)
	}
}

// pad adds to the right, or to the left where the width is negative. An empty padding is a blank.
func pad(s string, width int64, with string) (any, error) {
	missing := max(width, -width) - int64(utf8.RuneCountInString(s))
	if missing <= 0 {
		return s, nil
	}
	if missing > maxPad {
		return nil, errMemory
	}
	if with == "" {
		with = " "
	}
	unit := []rune(with)
	added := make([]rune, missing)
	for i := range added {
		added[i] = unit[i%len(unit)]
	}
	if width < 0 {
		return string(added) + s, nil
	}
	return s + string(added), nil
}

// hashFunc is $hash: without an algorithm it gives nothing.
func hashFunc(args []any, _ any) (any, error) {
	if len(args) < 2 || args[0] == nil || args[1] == nil {
		return nil, nil
	}
	data, ok := args[0].(string)
	if !ok {
		return nil, typeError(0)
	}
	algorithm, ok := args[1].(string)
	if !ok {
		return nil, typeError(1)
	}
	sum, ok := digest(data, algorithm)
	if !ok {
		return nil, &libraryError{"D3000", "there is no hash algorithm " + algorithm}
	}
	return sum, nil
}

// parseFunc is $parse, which replaces $eval for JSON texts.
func parseFunc(args []any, _ any) (any, error) {
	if len(args) == 0 || args[0] == nil {
		return nil, nil
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, typeError(0)
	}
	v, ok := parseJSON(text)
	if !ok {
		return nil, &libraryError{"D3120", "the text given to $parse is no JSON"}
	}
	return toLibrary(v), nil
}

// randomFunc is $random: a number from 0 up to 1; a seed makes it depend on the seed alone.
func randomFunc(s *Scope, args []any) (any, error) {
	seed, ok, err := libraryInt(args, 0)
	if err != nil {
		return nil, err
	}
	source := s.random()
	if ok {
		source = rand.NewPCG(uint64(seed), 0) //nolint:gosec // any bits will do
	}
	return rand.New(source).Float64(), nil //nolint:gosec // no secret
}

// shuffleFunc is $shuffle, drawn from the scope so that a replay agrees.
func shuffleFunc(s *Scope, args []any) (any, error) {
	if len(args) == 0 || args[0] == nil {
		return nil, nil
	}
	a, ok := args[0].([]any)
	if !ok {
		return []any{args[0]}, nil
	}
	out := append([]any{}, a...)
	rand.New(s.random()).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] }) //nolint:gosec // no secret
	return out, nil
}
