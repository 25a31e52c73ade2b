package jsonata

import "slices"

// evaluator is the state of one evaluation. Every function that can be expensive counts its work: step counts steps, charge
// counts bytes before they are allocated, and enter counts the depth. Each of them returns an error when a limit is exceeded.
type evaluator struct {
	env    *Env
	limits Limits
	root   any
	used   int64 // bytes that count against Limits.Bytes; release reduces them
	steps  int
	depth  int
}

// stepsPerCheck is the number of steps between two calls of Limits.Check.
const stepsPerCheck = 4096

// step counts n steps of work, and calls Limits.Check if due.
func (ev *evaluator) step(n int) error {
	ev.steps += n
	if ev.steps < stepsPerCheck {
		return nil
	}
	ev.steps = 0
	if ev.limits.Check != nil {
		return ev.limits.Check()
	}
	return nil
}

// charge counts bytes, before they are allocated.
func (ev *evaluator) charge(bytes int64) error {
	ev.used += bytes
	if ev.limits.Bytes > 0 && ev.used > ev.limits.Bytes {
		return &LimitError{Limit: LimitMemory}
	}
	return ev.step(int(bytes >> 8))
}

// chargeText counts n characters of strings, before they are allocated.
func (ev *evaluator) chargeText(n int) error { return ev.charge(int64(n) * charBytes) }

// enter counts one more level of nested expressions.
func (ev *evaluator) enter() error {
	ev.depth++
	if ev.limits.Depth > 0 && ev.depth > ev.limits.Depth || ev.depth > maxStack {
		return &LimitError{Limit: LimitDepth, Depth: ev.depth, Max: ev.limits.Depth}
	}
	return ev.step(1)
}

// maxStack is the maximum depth whatever the limits are, so that the goroutine's stack does not overflow.
const maxStack = 100_000

// frame holds the variables of a scope; parent is the enclosing scope.
type frame struct {
	parent *frame
	names  []string
	values []any
	tuple  *binding
}

// binding is a variable of a tuple.
type binding struct {
	name  string
	value any
	next  *binding
}

// lookup returns the innermost variable with this name.
func (f *frame) lookup(name string) (any, bool) {
	for ; f != nil; f = f.parent {
		for i := len(f.names) - 1; i >= 0; i-- {
			if f.names[i] == name {
				return f.values[i], true
			}
		}
		for b := f.tuple; b != nil; b = b.next {
			if b.name == name {
				return b.value, true
			}
		}
	}
	return nil, false
}

// lookup finds a variable. Variables of the embedder are never functions: if the value is called, functions take precedence.
func (ev *evaluator) lookup(name string, f *frame, called bool) any {
	if v, ok := f.lookup(name); ok {
		return v
	}
	if !called && ev.env.Vars != nil {
		if v, ok := ev.env.Vars(name); ok {
			return v
		}
	}
	if fn, ok := ev.env.Functions[name]; ok {
		if fn.call == nil {
			return Undefined
		}
		return fn
	}
	if fn, ok := builtins[name]; ok {
		return fn
	}
	if called && ev.env.Vars != nil {
		if v, ok := ev.env.Vars(name); ok {
			return v
		}
	}
	return Undefined
}

// bind sets a variable of the innermost frame.
func (f *frame) bind(name string, v any) {
	if i := slices.Index(f.names, name); i >= 0 {
		f.values[i] = v
		return
	}
	f.names = append(f.names[:len(f.names):len(f.names)], name) // names may be shared with a function's parameters
	f.values = append(f.values, v)
}

// eval evaluates a node. A list of results with a single result becomes this result, and an empty list becomes Undefined.
func (ev *evaluator) eval(n *node, input any, env *frame) (any, error) {
	if err := ev.enter(); err != nil {
		return nil, err
	}
	out, err := ev.node(n, input, env)
	for _, p := range n.predicates {
		if err != nil {
			return nil, err
		}
		out, err = ev.filter(p, out, env)
	}
	if err == nil && n.group != nil && n.kind != kindPath {
		out, err = ev.group(n.group, out, env)
	}
	if err != nil {
		return nil, err
	}
	ev.depth--
	return unwrap(n, out), nil
}

// unwrap converts a list of results with a single result to this result, and an empty list to Undefined.
func unwrap(n *node, v any) any {
	s, ok := results(v)
	if !ok {
		return v
	}
	if n.keepArray {
		s.keep = true
	}
	switch {
	case len(s.items) == 0:
		return Undefined
	case len(s.items) == 1 && !s.keep:
		return s.items[0]
	}
	return v
}

// node evaluates a node without its predicates; rareNode handles the kinds that are less frequent.
func (ev *evaluator) node(n *node, input any, env *frame) (any, error) {
	switch n.kind {
	case kindLiteral:
		return n.value, nil
	case kindPath:
		return ev.path(n, input, env)
	case kindVariable:
		return ev.variable(n, input, env), nil
	case kindBinary:
		return ev.binary(n, input, env)
	case kindCall:
		return ev.call(n, input, env, nil)
	case kindCondition:
		return ev.condition(n, input, env)
	case kindBlock:
		return ev.block(n, input, env)
	case kindName:
		return ev.lookupName(input, n.text)
	case kindArray:
		return ev.array(n, input, env)
	case kindObject:
		return ev.group(n, input, env)
	case kindLambda:
		if n.thunk {
			return &thunk{n.right, input, env}, nil
		}
		err := ev.charge(frameBytes)
		return &Function{lambda: n, params: n.params, signature: n.signature, env: env, input: input, born: ev.used}, err
	}
	return ev.rareNode(n, input, env)
}

func (ev *evaluator) rareNode(n *node, input any, env *frame) (any, error) {
	switch n.kind {
	case kindWildcard:
		return ev.wildcard(input)
	case kindDescendant:
		return ev.descendants(input)
	case kindParent:
		v, ok := env.lookup(n.slot.label)
		if !ok {
			return Undefined, nil
		}
		return v, nil
	case kindNegate:
		return ev.negate(n, input, env)
	case kindBind:
		v, err := ev.eval(n.right, input, env)
		if err == nil {
			env.bind(n.text, v)
		}
		return v, err
	case kindRegex:
		return regexFunction(n.regex), nil
	case kindPartial:
		return ev.partial(n, input, env)
	case kindApply:
		return ev.apply(n, input, env)
	case kindTransform:
		return ev.transform(n, env), nil
	}
	return nil, newError("S0206", n.pos)
}

// variable evaluates a variable, the context item ($) or the root ($$).
func (ev *evaluator) variable(n *node, input any, env *frame) any {
	switch n.text {
	case "":
		if s, ok := input.(*sequence); ok && s.outer {
			return s.items[0]
		}
		return input
	case "$":
		return ev.root
	}
	return ev.lookup(n.text, env, false)
}

func (ev *evaluator) condition(n *node, input any, env *frame) (any, error) {
	c, err := ev.eval(n.left, input, env)
	if err != nil {
		return nil, err
	}
	yes, err := ev.truth(c)
	switch {
	case err != nil:
		return nil, err
	case yes:
		return ev.eval(n.right, input, env)
	case n.third != nil:
		return ev.eval(n.third, input, env)
	}
	return Undefined, nil
}

func (ev *evaluator) block(n *node, input any, env *frame) (out any, err error) {
	out = Undefined
	inner := &frame{parent: env}
	for _, item := range n.items {
		if out, err = ev.eval(item, input, inner); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// array evaluates an array constructor. Items that are arrays are flattened unless they are constructors themselves.
func (ev *evaluator) array(n *node, input any, env *frame) (any, error) {
	var out []any
	for _, item := range n.items {
		v, err := ev.eval(item, input, env)
		if err != nil {
			return nil, err
		}
		if IsUndefined(v) {
			continue
		}
		list, ok := items(v)
		if !ok || item.kind == kindArray {
			list = []any{v}
		}
		if len(n.items) == 1 && ok {
			out = list[:len(list):len(list)] // shared: an append must copy it
			break
		}
		if err := ev.charge(int64(len(list)) * itemBytes); err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	if out == nil {
		out = []any{}
	}
	if n.consArray {
		return &sequence{items: out, array: true, cons: true}, nil
	}
	return out, nil
}
