package jsonata

// Function is a function as a value: built in, supplied by the embedder, or defined by the expression.
type Function struct {
	name      string
	signature *signature
	arity     int // how many arguments functions such as $map pass to it
	call      func(c *Call, args []any) (any, error)

	lambda *node // the definition, if the expression defines the function; then the next three fields are set
	params []string
	env    *frame // of the definition
	input  any    // the context item of the definition
	born   int64  // the bytes that the evaluation had used when it created the function

	regex *Regex // set if the function is a regular expression
}

// Call gives a native function access to the evaluation that calls it.
type Call struct {
	*evaluator
	Name  string
	Input any // the context item
	env   *frame
}

// Native returns a function that is written in Go. signature is a JSONata signature, such as "<s-n?:s>". Missing arguments
// are Undefined. Native panics if the signature is invalid.
func Native(name, signature string, arity int, call func(c *Call, args []any) (any, error)) *Function {
	s, err := parseSignature(signature)
	if err != nil {
		panic("jsonata: signature of " + name + ": " + err.Error())
	}
	return &Function{name: name, signature: s, arity: arity, call: call}
}

// Charge counts bytes that a native function is about to allocate.
func (c *Call) Charge(bytes int) error { return c.charge(int64(bytes)) }

// Step counts steps of work that a native function is about to do.
func (c *Call) Step(n int) error { return c.step(n) }

// Env returns the environment of the evaluation.
func (c *Call) Env() *Env { return c.evaluator.env }

// thunk is a call in tail position, to be made once the function around it has returned.
type thunk struct {
	node  *node
	input any
	env   *frame
}

// arityOf returns how many arguments functions such as $map pass to a function.
func (f *Function) arityOf() int {
	switch {
	case f.regex != nil:
		return 2
	case f.lambda != nil:
		return len(f.params)
	}
	return f.arity
}

// nameOf returns the name of a callee for an error.
func nameOf(n *node) string {
	if n.kind == kindPath {
		return n.items[0].text
	}
	return n.text
}

// callee evaluates the function of a call. If the callee is a name that lacks its $, the error has the code hint, whose message
// suggests the $.
func (ev *evaluator) callee(n *node, input any, env *frame, hint string) (any, error) {
	if n.left.kind == kindVariable && len(n.left.predicates) == 0 && n.left.text != "" && n.left.text != "$" {
		if err := ev.enter(); err != nil {
			return nil, err
		}
		ev.depth--
		return ev.lookup(n.left.text, env, true), nil
	}
	fn, err := ev.eval(n.left, input, env)
	if err != nil {
		return nil, err
	}
	if IsUndefined(fn) && n.left.kind == kindPath {
		if name := nameOf(n.left); name != "" && !IsUndefined(ev.lookup(name, env, true)) {
			return nil, newError(hint, n.pos).with("token", name)
		}
	}
	return fn, nil
}

// call evaluates a call. first contains the argument that ~> passes, if any.
func (ev *evaluator) call(n *node, input any, env *frame, first []any) (any, error) {
	fn, err := ev.callee(n, input, env, "T1005")
	if err != nil {
		return nil, err
	}
	args, err := ev.arguments(n, input, env, first)
	if err != nil {
		return nil, err
	}
	out, err := ev.invoke(fn, args, input, env)
	return out, located(err, n)
}

// located adds the position and the function's name to an error that lacks them.
func located(err error, n *node) error {
	if e, ok := err.(*Error); ok && n != nil { //nolint:errorlint // evaluation does not wrap
		if e.Position < 0 {
			e.Position = n.pos
		}
		if e.Token == "" {
			e.Token = nameOf(n.left)
		}
	}
	return err
}

// arguments evaluates the arguments of a call, after those in first.
func (ev *evaluator) arguments(n *node, input any, env *frame, first []any) ([]any, error) {
	args := make([]any, len(first), len(first)+len(n.items))
	copy(args, first)
	for _, item := range n.items {
		v, err := ev.eval(item, input, env)
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	return args, nil
}

// invoke calls a function, and then the functions that it calls in tail position.
func (ev *evaluator) invoke(fn any, args []any, input any, env *frame) (any, error) {
	r := region{mark: ev.used}
	var tail *node
	for {
		out, err := ev.invokeOnce(fn, args, input, env)
		if err != nil {
			return nil, located(err, tail)
		}
		t, ok := out.(*thunk)
		if !ok {
			r.live = 0
			ev.release(&r, out)
			return out, nil
		}
		if fn, err = ev.callee(t.node, t.input, t.env, "T1005"); err != nil {
			return nil, err
		}
		if args, err = ev.arguments(t.node, t.input, t.env, nil); err != nil {
			return nil, err
		}
		input, tail = t.input, t.node
		ev.release(&r, append(args[:len(args):len(args)], fn, input)...)
	}
}

// region is a part of an evaluation, such as a call. After it, only some of the values that it built are still reachable.
type region struct {
	mark int64 // bytes used at the start of the region
	live int64 // bytes reachable at the last check
}

// release returns the bytes that a region has used to the budget, except those of the values in kept. It measures these values
// only if there may be as much to release as there is to measure.
func (ev *evaluator) release(r *region, kept ...any) {
	const worthwhile = 1 << 10
	grown := ev.used - r.mark
	if grown < worthwhile+2*r.live {
		return
	}
	s := sizer{mark: r.mark, limit: grown}
	for _, v := range kept {
		if !s.add(v, 0) {
			s.size = grown
			break
		}
	}
	ev.used, r.live = r.mark+s.size, s.size
}

// invokeOnce calls a function. If the function ends in a call, the result is a *thunk, which invoke then calls: so recursion
// in tail position needs no stack.
func (ev *evaluator) invokeOnce(fn any, args []any, input any, env *frame) (any, error) {
	f, ok := fn.(*Function)
	if !ok {
		return nil, newError("T1006", -1)
	}
	if f.signature != nil {
		var err error
		if args, err = f.signature.validate(args, input); err != nil {
			return nil, err
		}
	}
	if f.regex != nil {
		return ev.matchOnce(f.regex, args)
	}
	if f.lambda == nil {
		if err := ev.step(1); err != nil {
			return nil, err
		}
		return f.call(&Call{ev, f.name, input, env}, args)
	}
	if err := ev.charge(frameBytes + int64(len(f.params))*itemBytes); err != nil {
		return nil, err
	}
	values := make([]any, len(f.params))
	for i := range values {
		values[i] = Undefined
		if i < len(args) {
			values[i] = args[i]
		}
	}
	return ev.eval(f.lambda.right, f.input, &frame{parent: f.env, names: f.params, values: values})
}

// partial returns a function whose parameters are the placeholders of a call.
func (ev *evaluator) partial(n *node, input any, env *frame) (any, error) {
	fn, err := ev.callee(n, input, env, "T1007")
	if err != nil {
		return nil, err
	}
	f, ok := fn.(*Function)
	if !ok {
		return nil, newError("T1008", n.pos).with("token", nameOf(n.left))
	}
	args := make([]any, len(n.items))
	var open []int
	for i, item := range n.items {
		if item.kind == kindPlaceholder {
			open = append(open, i)
			args[i] = Undefined
		} else if args[i], err = ev.eval(item, input, env); err != nil {
			return nil, err
		}
	}
	if err := ev.charge(frameBytes + int64(len(args))*itemBytes); err != nil {
		return nil, err
	}
	return &Function{name: f.name, arity: len(open), born: ev.used, call: func(c *Call, given []any) (any, error) {
		all := append([]any{}, args...)
		for i, at := range open {
			if i < len(given) {
				all[at] = given[i]
			}
		}
		return c.invoke(f, all, nil, c.env)
	}}, nil
}

// apply evaluates ~>: a call with one more argument, or the composition of two functions.
func (ev *evaluator) apply(n *node, input any, env *frame) (any, error) {
	left, err := ev.eval(n.left, input, env)
	if err != nil {
		return nil, err
	}
	if n.right.kind == kindCall {
		return ev.call(n.right, input, env, []any{left})
	}
	right, err := ev.eval(n.right, input, env)
	if err != nil {
		return nil, err
	}
	second, ok := right.(*Function)
	if !ok {
		return nil, newError("T2006", n.pos).with("value", right)
	}
	first, ok := left.(*Function)
	if !ok {
		out, err := ev.invoke(second, []any{left}, nil, env)
		if e, ok := err.(*Error); ok && e.Token == "" { //nolint:errorlint // evaluation does not wrap
			e.Token = second.name
		}
		return out, err
	}
	if err := ev.charge(frameBytes); err != nil {
		return nil, err
	}
	return &Function{arity: 1, born: ev.used, call: func(c *Call, args []any) (any, error) {
		v, err := c.invoke(first, args, nil, c.env)
		if err != nil {
			return nil, err
		}
		return c.invoke(second, []any{v}, nil, c.env)
	}}, nil
}

// callback calls a function that was passed as an argument, with as many arguments as it takes.
func (c *Call) callback(f *Function, args ...any) (any, error) {
	n := max(1, min(f.arityOf(), len(args)))
	return c.invoke(f, args[:n], nil, c.env)
}
