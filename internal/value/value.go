// Package value represents JSON values as the States Language needs them: objects keep the order of their keys, and numbers
// keep their text, which encoding/json does not support. All packages that handle payloads use it.
//
// A value is one of: nil, bool, Number, string, []any, *Object. Values that are shared are immutable: to change one, copy it
// first (Object.With).
package value

// Number is a JSON number in its original text, so that 12345678901234567890 keeps all of its digits. Append writes 1e3 as
// 1000.0, as Step Functions does.
type Number string

// Object is a JSON object that keeps the order of its keys. The zero value and a nil *Object are empty objects.
type Object struct {
	keys  []string
	vals  []any
	index map[string]int // created when there are more than linearKeys keys
}

// linearKeys is the number of keys up to which Get searches linearly: for the small objects of most payloads, a map is
// slower.
const linearKeys = 8

// NewObject returns an empty object with room for n keys.
func NewObject(n int) *Object {
	return &Object{keys: make([]string, 0, n), vals: make([]any, 0, n)}
}

// Obj returns an object from alternating keys and values. It is for literals in code and tests.
func Obj(kv ...any) *Object {
	o := NewObject(len(kv) / 2)
	for i := 0; i+1 < len(kv); i += 2 {
		o.Set(kv[i].(string), kv[i+1])
	}
	return o
}

// Len returns the number of keys.
func (o *Object) Len() int {
	if o == nil {
		return 0
	}
	return len(o.keys)
}

// At returns the i-th key and its value.
func (o *Object) At(i int) (string, any) { return o.keys[i], o.vals[i] }

// Keys returns the keys in order. The caller must not change the slice.
func (o *Object) Keys() []string {
	if o == nil {
		return nil
	}
	return o.keys
}

// find returns the index of a key, -1 if it is missing.
func (o *Object) find(k string) int {
	if o == nil {
		return -1
	}
	if o.index != nil {
		if i, ok := o.index[k]; ok {
			return i
		}
		return -1
	}
	for i, have := range o.keys {
		if have == k {
			return i
		}
	}
	return -1
}

// Get returns the value of a key; false if the key is missing.
func (o *Object) Get(k string) (any, bool) {
	if i := o.find(k); i >= 0 {
		return o.vals[i], true
	}
	return nil, false
}

// Has reports whether the object has the key, even with the value null.
func (o *Object) Has(k string) bool { return o.find(k) >= 0 }

// Set sets the value of a key; an existing key keeps its position. Use it only on an object that is not shared yet.
func (o *Object) Set(k string, v any) {
	if i := o.find(k); i >= 0 {
		o.vals[i] = v
		return
	}
	o.keys, o.vals = append(o.keys, k), append(o.vals, v)
	switch {
	case o.index != nil:
		o.index[k] = len(o.keys) - 1
	case len(o.keys) > linearKeys:
		o.index = make(map[string]int, 2*len(o.keys))
		for i, have := range o.keys {
			o.index[have] = i
		}
	}
}

// Clone returns a shallow copy that can be changed.
func (o *Object) Clone() *Object {
	c := NewObject(o.Len() + 1)
	for i := range o.Len() {
		c.Set(o.At(i))
	}
	return c
}

// With returns a shallow copy in which k is v.
func (o *Object) With(k string, v any) *Object {
	c := o.Clone()
	c.Set(k, v)
	return c
}

// Without returns a shallow copy without a key.
func (o *Object) Without(k string) *Object {
	c := NewObject(o.Len())
	for i := range o.Len() {
		if have, v := o.At(i); have != k {
			c.Set(have, v)
		}
	}
	return c
}

// Map returns a copy of an array or object in which each element or member is replaced by f of it; keys do not change. It
// returns any other value unchanged. A function that calls Map with itself converts a value at every depth.
func Map(v any, f func(any) any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = f(item)
		}
		return out
	case *Object:
		out := NewObject(v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			out.Set(k, f(item))
		}
		return out
	}
	return v
}
