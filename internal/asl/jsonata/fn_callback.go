package jsonata

import "github.com/rayorch/rayorch/internal/value"

// callbackFunctions call a function for every item.
var callbackFunctions = map[string]builtin{
	"map":    {"af", 2, onList(mapFunc)},
	"filter": {"af", 2, onList(filterFunc)},
	"single": {"af?", 2, onList(singleFunc)},
	"reduce": {"afj?:j", 3, onList(reduceFunc)},
	"sift":   {"o-f?:o", 2, siftFunc},
	"each":   {"o-f:a", 2, eachFunc},
}

// forEach calls a function for every item of a list.
func (c *Call) forEach(f any, list []any, visit func(item, result any) error) error {
	fn, _ := f.(*Function)
	for i, item := range list {
		v, err := c.callback(fn, item, float64(i), list)
		if err != nil {
			return err
		}
		if err := visit(item, v); err != nil {
			return err
		}
	}
	return nil
}

// mapFunc omits results that are Undefined.
func mapFunc(c *Call, list, args []any) (any, error) {
	out := &sequence{}
	err := c.forEach(args[1], list, func(_, v any) error {
		if IsUndefined(v) {
			return nil
		}
		out.items = append(out.items, v)
		return c.charge(itemBytes)
	})
	return out, err
}

func filterFunc(c *Call, list, args []any) (any, error) {
	out := &sequence{}
	err := c.forEach(args[1], list, func(item, v any) error {
		yes, err := c.truth(v)
		if err != nil || !yes {
			return err
		}
		out.items = append(out.items, item)
		return c.charge(itemBytes)
	})
	return out, err
}

// singleFunc returns the only item that a function accepts. None or several are an error.
func singleFunc(c *Call, list, args []any) (any, error) {
	out, found := Undefined, false
	add := func(item, v any) error {
		yes, err := c.truth(v)
		if err != nil || !yes {
			return err
		}
		if found {
			return newError("D3138", -1)
		}
		out, found = item, true
		return nil
	}
	var err error
	if IsUndefined(args[1]) {
		for i := 0; i < len(list) && err == nil; i++ {
			err = add(list[i], true)
		}
	} else {
		err = c.forEach(args[1], list, add)
	}
	if err == nil && !found {
		err = newError("D3139", -1)
	}
	return out, err
}

// reduceFunc folds a list with a function. Without an initial value, the first item is used. The values that the previous
// call built are released, so that a long list needs no more memory than one call.
func reduceFunc(c *Call, list, args []any) (any, error) {
	f := args[1].(*Function)
	if f.arityOf() < 2 {
		return nil, ArgumentError("D3050", 1, Undefined)
	}
	out, start := args[2], 0
	if IsUndefined(out) && len(list) > 0 {
		out, start = list[0], 1
	}
	r := region{mark: c.used}
	for i := start; i < len(list); i++ {
		var err error
		if out, err = c.callback(f, out, list[i], float64(i), list); err != nil {
			return nil, err
		}
		c.release(&r, out)
	}
	return out, nil
}

// siftFunc keeps the fields of an object that a function accepts.
func siftFunc(c *Call, args []any) (any, error) {
	o, _ := args[0].(*value.Object)
	f, ok := args[1].(*Function)
	if !ok {
		return nil, newError("T1006", -1)
	}
	out := value.NewObject(0)
	for i := range o.Len() {
		k, item := o.At(i)
		v, err := c.callback(f, item, k, o)
		if err != nil {
			return nil, err
		}
		yes, err := c.truth(v)
		if err != nil {
			return nil, err
		}
		if yes {
			out.Set(k, item)
		}
	}
	if out.Len() == 0 {
		return Undefined, nil
	}
	return out, c.charge(objectBytes + int64(out.Len())*fieldBytes)
}

func eachFunc(c *Call, args []any) (any, error) {
	o, _ := args[0].(*value.Object)
	f := args[1].(*Function)
	out := &sequence{}
	for i := range o.Len() {
		k, item := o.At(i)
		v, err := c.callback(f, item, k, o)
		if err != nil {
			return nil, err
		}
		if !IsUndefined(v) {
			out.items = append(out.items, v)
			if err := c.charge(itemBytes); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
