package asl

import (
	"errors"
	"fmt"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

// fields reads the fields of an object of the definition. A field of the wrong type is an error, and is treated as missing.
// at is the location of the object.
type fields struct {
	p       *parser
	o       *value.Object
	at      string
	jsonata bool
	within  string // prefix of locations in evaluation errors, such as Catch[1]/
}

func (f fields) fail(key string, err error) { f.p.fail(f.at+"/"+key, err) }

func (f fields) has(key string) bool {
	_, ok := f.o.Get(key)
	return ok
}

// str treats null as missing, as Step Functions does for most fields.
func (f fields) str(key string) string {
	v, ok := f.o.Get(key)
	s, isString := v.(string)
	if ok && !isString && v != nil {
		f.fail(key, errors.New("must be a string"))
	}
	return s
}

// integer accepts 5.0 as 5, because JSON has only one type of number.
func (f fields) integer(key string, def int64) int64 {
	v, ok := f.o.Get(key)
	if !ok {
		return def
	}
	if n, isNumber := v.(value.Number); isNumber {
		if i, isInteger := n.Int64(); isInteger {
			return i
		}
	}
	f.fail(key, errors.New("must be an integer"))
	return def
}

func (f fields) float(key string, def float64) float64 {
	v, ok := f.o.Get(key)
	if !ok {
		return def
	}
	n, isNumber := v.(value.Number)
	if !isNumber {
		f.fail(key, errors.New("must be a number"))
		return def
	}
	return n.Float64()
}

func (f fields) strings(key string) []string {
	v, _ := f.o.Get(key)
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			f.fail(key, errors.New("must be an array of strings"))
		}
		out = append(out, s)
	}
	return out
}

// obj returns an empty object if the field is missing, so that callers need not check.
func (f fields) obj(key string) fields {
	v, ok := f.o.Get(key)
	o, isObject := v.(*value.Object)
	if ok && !isObject {
		f.fail(key, errors.New("must be an object"))
	}
	if o == nil {
		o = &value.Object{}
	}
	return fields{f.p, o, f.at + "/" + key, f.jsonata, f.within + key + "/"}
}

// list reads an array of objects; each of them has its own location.
func (f fields) list(key string) []fields {
	v, ok := f.o.Get(key)
	list, isList := v.([]any)
	if ok && !isList {
		f.fail(key, errors.New("must be an array"))
	}
	out := make([]fields, 0, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s/%s[%d]", f.at, key, i)
		o, isObject := item.(*value.Object)
		if !isObject {
			f.p.fail(at, errors.New("must be an object"))
			continue
		}
		out = append(out, fields{f.p, o, at, f.jsonata, fmt.Sprintf("%s%s[%d]/", f.within, key, i)})
	}
	return out
}

// path distinguishes null from a missing field, see PathField.
func (f fields) path(key string) PathField {
	v, ok := f.o.Get(key)
	if !ok {
		return PathField{}
	}
	if v == nil {
		return PathField{Null: true}
	}
	path, err := expr.CompilePath(f.str(key))
	f.fail(key, err)
	return PathField{Path: path}
}

func (f fields) resultPath(key string) ResultPath {
	p := f.path(key)
	if p.Path != nil && !p.Path.Reference() {
		f.fail(key, errors.New("must be a reference path"))
	}
	return ResultPath(p)
}

// template compiles a payload template in the query language of the state; nil if the field is missing.
func (f fields) template(key string) Template {
	v, ok := f.o.Get(key)
	if !ok {
		return nil
	}
	if f.jsonata {
		t, err := expr.CompileJSONataTemplate(v, f.within+key)
		f.fail(key, err)
		return t
	}
	t, err := expr.CompileTemplate(v)
	f.fail(key, err)
	return t
}

// scalar reads the field key or, with JSONPath, the field whose name is key followed by "Path".
func (f fields) scalar(key string) Scalar {
	if v, ok := f.o.Get(key + "Path"); ok && !f.jsonata {
		text, _ := v.(string)
		q, err := expr.CompileQuery(text)
		f.fail(key+"Path", err)
		return Scalar{Field: key + "Path", Query: q}
	}
	v, ok := f.o.Get(key)
	if !ok {
		return Scalar{}
	}
	if text, isString := v.(string); isString && f.jsonata {
		if body, isExpr := expr.JSONataBody(text); isExpr {
			e, err := expr.CompileJSONata(body)
			f.fail(key, err)
			return Scalar{Field: f.within + key, Expr: e}
		}
	}
	return Scalar{Field: key, Literal: v}
}
