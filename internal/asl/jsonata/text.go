package jsonata

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Values become text in two ways. $string and & round a fraction to 15 digits and fail for a number that is not finite; the
// messages of errors contain the exact number, and null for one that is not finite (jsonWriter.ev is nil).

// numberText formats a number as $string and & do: like JavaScript, with fractions rounded to 15 digits. The reference
// implementation also rounds integers; Step Functions does not, as observed on AWS.
func numberText(f float64) string {
	if f == math.Trunc(f) {
		return exactText(f)
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 14, 64), 64)
	if err == nil {
		f = rounded
	}
	return exactText(f)
}

// exactText formats a number as JavaScript does.
func exactText(f float64) string {
	switch abs := math.Abs(f); {
	case f == 0:
		return "0"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case math.IsNaN(f):
		return "NaN"
	case abs < 1e-6 || abs >= 1e21:
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// writtenText formats a number of the input as $string and & do: integers keep their digits.
func writtenText(n value.Number) string {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return strconv.FormatInt(i, 10)
	}
	return numberText(n.Float64())
}

// text converts a value to a string as & and $string do: Undefined and functions become an empty string, and other values that are
// not strings become JSON.
func (ev *evaluator) text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case undefinedType, *Function:
		return "", nil
	case value.Number:
		return writtenText(v), nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return "", newError("D3001", -1).with("value", v)
		}
		return numberText(v), nil
	}
	w := jsonWriter{ev: ev}
	if err := w.write(v, 0); err != nil {
		return "", err
	}
	return string(w.out), ev.chargeText(len(w.out))
}

// jsonWriter writes a value as JSON, and functions as empty strings.
type jsonWriter struct {
	out    []byte
	ev     *evaluator // whose limits apply; nil for no limits
	limit  int        // of the output in bytes; 0 for no limit
	indent bool
}

// write writes a value and charges its length.
func (w *jsonWriter) write(v any, depth int) error {
	before := len(w.out)
	if err := w.value(v, depth); err != nil {
		return err
	}
	if w.limit > 0 && len(w.out) > w.limit || depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	if w.ev == nil {
		return nil
	}
	switch v.(type) {
	case []any, *sequence, *value.Object: // the values inside are already counted
		return w.ev.charge(2)
	}
	return w.ev.chargeText(len(w.out) - before)
}

func (w *jsonWriter) value(v any, depth int) error {
	switch v := v.(type) {
	case nil, undefinedType:
		w.out = append(w.out, "null"...)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case string:
		w.out = value.AppendString(w.out, v)
	case value.Number:
		w.out = append(w.out, writtenText(v)...)
	case float64:
		switch {
		case !math.IsInf(v, 0) && !math.IsNaN(v) && w.ev == nil:
			w.out = append(w.out, exactText(v)...)
		case !math.IsInf(v, 0) && !math.IsNaN(v):
			w.out = append(w.out, numberText(v)...)
		case w.ev != nil:
			return newError("D1001", -1).with("value", v)
		default:
			w.out = append(w.out, "null"...)
		}
	case *value.Object:
		return w.object(v, depth)
	case *Function:
		w.out = append(w.out, `""`...)
	default:
		list, _ := items(v)
		return w.list(list, depth)
	}
	return nil
}

func (w *jsonWriter) list(list []any, depth int) error {
	w.out = append(w.out, '[')
	for i, item := range list {
		w.separate(i, depth+1)
		if err := w.write(item, depth+1); err != nil {
			return err
		}
	}
	w.end(']', len(list), depth)
	return nil
}

func (w *jsonWriter) object(o *value.Object, depth int) error {
	w.out = append(w.out, '{')
	for i := range o.Len() {
		k, item := o.At(i)
		w.separate(i, depth+1)
		w.out = append(value.AppendString(w.out, k), ':')
		if w.indent {
			w.out = append(w.out, ' ')
		}
		if err := w.write(item, depth+1); err != nil {
			return err
		}
	}
	w.end('}', o.Len(), depth)
	return nil
}

func (w *jsonWriter) separate(i, depth int) {
	if i > 0 {
		w.out = append(w.out, ',')
	}
	w.newline(depth)
}

func (w *jsonWriter) end(bracket byte, n, depth int) {
	if n > 0 {
		w.newline(depth)
	}
	w.out = append(w.out, bracket)
}

func (w *jsonWriter) newline(depth int) {
	if w.indent {
		w.out = append(w.out, '\n')
		w.out = append(w.out, bytes.Repeat([]byte("  "), depth)...)
	}
}
