// Package value holds JSON as the States Language sees it: objects keep the order of their keys, numbers keep their
// text. It is no query language (see asl/expr) and knows nothing of states; every package that carries payloads uses it.
//
// A value is one of: nil, bool, Number, string, []any, *Object. Values are immutable once they are shared: whoever
// changes one makes a copy first (Object.With).
package value

// Number is a JSON number in its original text, so that 12345678901234567890 passes through unharmed. Append writes 1e3 as
// 1000.0, as Step Functions does.
type Number string

// Object is a JSON object that keeps its keys in order. The zero value is an empty object.
type Object struct {
	keys  []string
	vals  []any
	index map[string]int // made when the object grows past linearKeys
}

// linearKeys is how many keys are searched one by one: for the small objects of most payloads a map costs more.
const linearKeys = 8

// NewObject returns an empty object with room for n keys.
func NewObject(n int) *Object {
	return &Object{keys: make([]string, 0, n), vals: make([]any, 0, n)}
}

// Obj makes an object from alternating keys and values; it is for literals in code and tests.
func Obj(kv ...any) *Object {
	o := NewObject(len(kv) / 2)
	for i := 0; i+1 < len(kv); i += 2 {
		o.Set(kv[i].(string), kv[i+1])
	}
	return o
}

// Len is the number of keys; a nil object has none.
func (o *Object) Len() int {
	if o == nil {
		return 0
	}
	return len(o.keys)
}

// At is the i-th key with its value, in order.
func (o *Object) At(i int) (string, any) { return o.keys[i], o.vals[i] }

// Keys are the keys in order; the caller must not change them.
func (o *Object) Keys() []string {
	if o == nil {
		return nil
	}
	return o.keys
}

// find is the place of a key, -1 when it is not there.
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

// Get is the value of a key.
func (o *Object) Get(k string) (any, bool) {
	if i := o.find(k); i >= 0 {
		return o.vals[i], true
	}
	return nil, false
}

// Has says whether the key is there, whatever its value.
func (o *Object) Has(k string) bool { return o.find(k) >= 0 }

// Set puts a value under a key, in the key's old place when it has one. Only for objects that nobody else holds yet.
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

// Clone is a shallow copy that may be changed.
func (o *Object) Clone() *Object {
	c := NewObject(o.Len() + 1)
	for i := range o.Len() {
		c.Set(o.At(i))
	}
	return c
}

// With is a copy of the object with one more, or one changed, key.
func (o *Object) With(k string, v any) *Object {
	c := o.Clone()
	c.Set(k, v)
	return c
}

// Without is a copy of the object that lacks a key.
func (o *Object) Without(k string) *Object {
	c := NewObject(o.Len())
	for i := range o.Len() {
		if have, v := o.At(i); have != k {
			c.Set(have, v)
		}
	}
	return c
}
