package interp

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

// scalar evaluates a field that can be a literal, a path or an expression. input is the state's effective input.
func (r *Run) scalar(f *frame, s *asl.Scalar, input *data) (any, *failure) {
	switch {
	case s.Query != nil:
		scope := r.scope(f, input.value(), onScalar)
		v, err := s.Query.Eval(scope)
		if err != nil {
			return nil, r.scalarFailure(f, s, scope, err)
		}
		return v, nil
	case s.Expr != nil:
		v, err := s.Expr.Eval(r.scope(f, input.value(), onScalar), s.Field)
		if err != nil {
			return nil, r.evalFailure(f, err)
		}
		return v, nil
	}
	return s.Literal, nil
}

// scalarFailure returns the failure of a path. If the path matches nothing, some fields have their own messages (recorded).
func (r *Run) scalarFailure(f *frame, s *asl.Scalar, scope *expr.Scope, err error) *failure {
	var missing *expr.NoResultsError
	if errors.As(err, &missing) {
		switch s.Field {
		case "ErrorPath", "CausePath":
			return r.evalFailure(f, s.Query.Path().NotFound(scope, s.Field))
		case "SecondsPath":
			return runtimeFailure(f, "The SecondsPath parameter does not reference an input value: %s", missing.Path)
		}
	}
	return r.pathFailure(f, pathText(s.Query), err)
}

// pathText returns the path as it is written, "" if the query is not a path.
func pathText(q *expr.Query) string {
	if p := q.Path(); p != nil {
		return p.Text()
	}
	return ""
}

// integer evaluates a field that must be an integer from low to high.
func (r *Run) integer(f *frame, s *asl.Scalar, input *data, low, high int64) (int64, *failure) {
	v, fail := r.scalar(f, s, input)
	if fail != nil {
		return 0, fail
	}
	if i, whole := toInteger(v, s.Query != nil); whole && i >= low && i <= high {
		return i, nil
	}
	if s.Expr != nil {
		return 0, r.evalFailure(f, s.Expr.WrongType(s.Field, "number", v))
	}
	return 0, runtimeFailure(f, "The %s field refers to value \"%s\" which is not a valid integer: %s", s.Field, plain(v),
		fieldText(s))
}

// toInteger converts a value to an integer. If a path found the value, a string of digits is accepted: Step Functions accepts
// "1" in SecondsPath (recorded).
func toInteger(v any, fromPath bool) (int64, bool) {
	switch v := v.(type) {
	case value.Number:
		return v.Int64()
	case string:
		i, err := strconv.ParseInt(v, 10, 64)
		return i, fromPath && err == nil
	}
	return 0, false
}

// percentage evaluates a field that must be a number from 0 to 100.
func (r *Run) percentage(f *frame, s *asl.Scalar, input *data) (float64, *failure) {
	v, fail := r.scalar(f, s, input)
	if fail != nil {
		return 0, fail
	}
	n, ok := v.(value.Number)
	if text, isText := v.(string); isText && s.Query != nil { // see toInteger
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			n, ok = value.Number(text), true
		}
	}
	if ok {
		if x := n.Float64(); x >= 0 && x <= 100 {
			return x, nil
		} else if s.Expr == nil {
			return 0, runtimeFailure(f, "%s must be between 0 and 100.", strings.TrimSuffix(s.Field, "Path"))
		}
	}
	if s.Expr != nil {
		return 0, r.evalFailure(f, s.Expr.WrongType(s.Field, "number", v))
	}
	return 0, runtimeFailure(f, "The %s field refers to value \"%s\" which is not a valid float: %s", s.Field, plain(v),
		fieldText(s))
}

// str evaluates a field that must be a string; "" if the field is missing.
func (r *Run) str(f *frame, s *asl.Scalar, input *data) (string, *failure) {
	if !s.Set() {
		return "", nil
	}
	v, fail := r.scalar(f, s, input)
	if fail != nil {
		return "", fail
	}
	text, ok := v.(string)
	if ok {
		return text, nil
	}
	if s.Expr != nil {
		return "", r.evalFailure(f, s.Expr.WrongType(s.Field, "string", v))
	}
	return "", runtimeFailure(f, "The %s field refers to value \"%s\" which is not a valid string: %s", s.Field, plain(v),
		fieldText(s))
}

// fieldText returns the field as it is written in the definition, for messages.
func fieldText(s *asl.Scalar) string {
	if s.Query != nil {
		return pathText(s.Query)
	}
	return value.Text(s.Literal)
}

// plain formats a value for a message: strings are not quoted.
func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return value.Text(v)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// ParseTimestamp parses the States Language's profile of ISO 8601: RFC 3339 with an uppercase T, and Z or an offset.
func ParseTimestamp(s string) (time.Time, bool) {
	if len(s) < 20 || s[10] != 'T' || strings.HasSuffix(s, "z") || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}
