package jsonata

import (
	"math"
	"strconv"

	"github.com/rayorch/rayorch/internal/value"
)

var listFunctions = map[string]builtin{
	"count":    {"a:n", 1, countFunc},
	"append":   {"xx:a", 2, appendFunc},
	"exists":   {"x:b", 1, existsFunc},
	"reverse":  {"a:a", 1, onList(reverseFunc)},
	"shuffle":  {"a:a", 1, onList(shuffleFunc)},
	"distinct": {"x:x", 1, distinctFunc},
	"zip":      {"a+", 0, zipFunc},
	"sort":     {"af?:a", 2, onList(sortFunc)},
}

func countFunc(_ *Call, args []any) (any, error) {
	if IsUndefined(args[0]) {
		return 0.0, nil
	}
	return float64(len(listOf(args[0]))), nil
}

func existsFunc(_ *Call, args []any) (any, error) { return !IsUndefined(args[0]), nil }

// appendFunc joins two values, each of which may be an array.
func appendFunc(c *Call, args []any) (any, error) {
	if IsUndefined(args[0]) {
		return args[1], nil
	}
	if IsUndefined(args[1]) {
		return args[0], nil
	}
	a, b := listOf(args[0]), listOf(args[1])
	if err := c.charge(int64(len(a)+len(b)) * itemBytes); err != nil {
		return nil, err
	}
	return append(append(make([]any, 0, len(a)+len(b)), a...), b...), nil
}

// copied returns a copy of a list, which the caller may change.
func (c *Call) copied(list []any) ([]any, error) {
	if err := c.charge(int64(len(list)) * itemBytes); err != nil {
		return nil, err
	}
	return append(make([]any, 0, len(list)), list...), nil
}

func reverseFunc(c *Call, list, args []any) (any, error) {
	if len(list) < 2 {
		return args[0], nil
	}
	out, err := c.copied(list)
	for i, item := range list {
		if err == nil {
			out[len(list)-1-i] = item
		}
	}
	return out, err
}

// shuffleFunc returns a random permutation (Fisher-Yates).
func shuffleFunc(c *Call, list, args []any) (any, error) {
	if len(list) < 2 {
		return args[0], nil
	}
	out, err := c.copied(list)
	if err != nil {
		return nil, err
	}
	for i := len(out) - 1; i > 0; i-- {
		j := int(c.random() * float64(i+1))
		out[i], out[j] = out[j], out[i]
	}
	return out, nil
}

// distinctFunc omits items that are equal to an earlier one.
func distinctFunc(c *Call, args []any) (any, error) {
	list, ok := items(args[0])
	if !ok || len(list) < 2 {
		return args[0], nil
	}
	out := make([]any, 0, min(len(list), 64))
	seen := map[string]bool{}
	for _, item := range list {
		w := jsonWriter{ev: c.evaluator}
		if err := w.key(item, 0); err != nil {
			return nil, err
		}
		if !seen[string(w.out)] {
			seen[string(w.out)] = true
			out = append(out, item)
			if err := c.charge(itemBytes + int64(len(w.out))); err != nil {
				return nil, err
			}
		}
	}
	if _, ok := results(args[0]); ok {
		return &sequence{items: out}, nil
	}
	return out, nil
}

// zipFunc returns an array of arrays: of the first items of its arguments, of the second items, and so on.
func zipFunc(c *Call, args []any) (any, error) {
	n := -1
	lists := make([][]any, len(args))
	for i, a := range args {
		lists[i], _ = items(a)
		if n < 0 || len(lists[i]) < n {
			n = len(lists[i])
		}
	}
	out := make([]any, 0, max(0, n))
	if err := c.charge(int64(n) * int64(len(lists)+3) * itemBytes); err != nil {
		return nil, err
	}
	for i := range max(0, n) {
		row := make([]any, len(lists))
		for j := range lists {
			row[j] = lists[j][i]
		}
		out = append(out, row)
	}
	return out, nil
}

// sortFunc sorts strings or numbers, or any items with a function that reports whether its first argument comes after its
// second.
func sortFunc(c *Call, list, args []any) (any, error) {
	if len(list) < 2 {
		return args[0], nil
	}
	in, err := c.copied(list)
	if err != nil {
		return nil, err
	}
	if f, ok := args[1].(*Function); ok {
		sorted, err := mergeSort(c.evaluator, in, func(a, b *any) (bool, error) {
			v, err := c.invoke(f, []any{*a, *b}, nil, c.env)
			return err == nil && isTruthy(v), err
		})
		return sorted, err
	}
	after, ok := plainOrder(list)
	if !ok {
		return nil, ArgumentError("D3070", 1, args[0])
	}
	sorted, err := mergeSort(c.evaluator, in, after)
	return sorted, err
}

// isTruthy reports whether a value is truthy in JavaScript: unlike in JSONata, empty arrays and objects are.
func isTruthy(v any) bool {
	switch v := v.(type) {
	case nil, undefinedType:
		return false
	case bool:
		return v
	case string:
		return v != ""
	}
	f, isNumber := number(v)
	return !isNumber || f != 0 && !math.IsNaN(f)
}

// plainOrder returns the order of a list that contains only numbers or only strings.
func plainOrder(list []any) (after func(a, b *any) (bool, error), ok bool) {
	numbers, texts := true, true
	for _, item := range list {
		_, isText := item.(string)
		numbers, texts = numbers && isNumber(item), texts && isText
	}
	if numbers {
		return func(a, b *any) (bool, error) { return numberOr(*a, 0) > numberOr(*b, 0), nil }, true
	}
	return func(a, b *any) (bool, error) { return less(textOr(*b, ""), textOr(*a, "")), nil }, texts
}

// key writes a string that is the same for two values only if they are equal.
func (w *jsonWriter) key(v any, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	if f, ok := number(v); ok {
		w.out = strconv.AppendFloat(w.out, f, 'g', -1, 64)
		return w.ev.charge(8)
	}
	if list, ok := items(v); ok {
		w.out = append(w.out, '[')
		for _, item := range list {
			if err := w.key(item, depth+1); err != nil {
				return err
			}
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, ']')
		return w.ev.charge(2)
	}
	o, ok := v.(*value.Object)
	if !ok {
		return w.write(v, depth)
	}
	keys := sortedKeys(o)
	w.out = append(w.out, '{')
	for _, k := range keys {
		item, _ := o.Get(k)
		w.out = append(value.AppendString(w.out, k), ':')
		if err := w.key(item, depth+1); err != nil {
			return err
		}
		w.out = append(w.out, ',')
	}
	w.out = append(w.out, '}')
	return w.ev.charge(int64(len(keys)) * itemBytes)
}
