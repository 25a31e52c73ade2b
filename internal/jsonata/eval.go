package jsonata

import (
	"math"
	"slices"

	"github.com/rayorch/rayorch/internal/value"
)

// evaluator is one evaluation.
type evaluator struct {
	env    *Env
	limits Limits
	root   any
	used   int64 // bytes
	steps  int
	depth  int
}

// stepsPerCheck is how many steps pass between two calls of Limits.Check.
const stepsPerCheck = 4096

// step counts work that is done.
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

// charge counts bytes before they are taken.
func (ev *evaluator) charge(bytes int64) error {
	ev.used += bytes
	if ev.limits.Bytes > 0 && ev.used > ev.limits.Bytes {
		return &LimitError{Limit: LimitMemory}
	}
	return ev.step(int(bytes >> 8))
}

// chargeText counts characters of texts before they are taken.
func (ev *evaluator) chargeText(n int) error { return ev.charge(int64(n) * charBytes) }

// enter goes one expression deeper.
func (ev *evaluator) enter() error {
	ev.depth++
	if ev.limits.Depth > 0 && ev.depth > ev.limits.Depth || ev.depth > maxStack {
		return &LimitError{Limit: LimitDepth, Depth: ev.depth, Max: ev.limits.Depth}
	}
	return ev.step(1)
}

// maxStack is the depth that is never exceeded, so that no stack runs out.
const maxStack = 100_000

// frame holds variables; what it lacks the frame around it may have.
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

// lookup finds a variable. One of the embedder's is no function: where something is called, functions come first.
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
	f.names = append(f.names[:len(f.names):len(f.names)], name) // names may be those of a function
	f.values = append(f.values, v)
}

// eval evaluates a node. A list of results that holds one result gives it; an empty one gives nothing.
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

// unwrap opens a list of results that holds one result, or none.
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
			out = list[:len(list):len(list)] // nothing is added to it in place
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

func (ev *evaluator) negate(n *node, input any, env *frame) (any, error) {
	v, err := ev.eval(n.left, input, env)
	if err != nil || IsUndefined(v) {
		return v, err
	}
	f, ok := number(v)
	if err := finite(n, f); err != nil {
		return nil, err
	}
	if !ok || math.IsNaN(f) {
		return nil, newError("D1002", n.pos).with("token", "-").with("value", v)
	}
	return -f, nil
}

func (ev *evaluator) binary(n *node, input any, env *frame) (any, error) {
	left, err := ev.eval(n.left, input, env)
	if err != nil {
		return nil, err
	}
	if n.text == "and" || n.text == "or" {
		yes, err := ev.truth(left)
		if err != nil || yes == (n.text == "or") {
			return yes, err
		}
		right, err := ev.eval(n.right, input, env)
		if err != nil {
			return nil, err
		}
		return ev.truth(right)
	}
	right, err := ev.eval(n.right, input, env)
	if err != nil {
		return nil, err
	}
	switch n.text {
	case "+", "-", "*", "/", "%":
		return arithmetic(n, left, right)
	case "=", "!=":
		if IsUndefined(left) || IsUndefined(right) {
			return false, nil
		}
		same, err := ev.equal(left, right, 0)
		return same == (n.text == "="), err
	case "<", "<=", ">", ">=":
		return compare(n, left, right)
	case "&":
		return ev.concat(left, right)
	case "..":
		return ev.rangeOf(n, left, right)
	}
	return ev.contains(left, right) // in
}

func arithmetic(n *node, left, right any) (any, error) {
	a, isLeft := number(left)
	b, isRight := number(right)
	if err := finite(n, a, b); err != nil {
		return nil, err
	}
	isLeft, isRight = isLeft && !math.IsNaN(a), isRight && !math.IsNaN(b)
	switch {
	case !isLeft && !IsUndefined(left):
		return nil, newError("T2001", n.pos).with("token", n.text).with("value", left)
	case !isRight && !IsUndefined(right):
		return nil, newError("T2002", n.pos).with("token", n.text).with("value", right)
	case !isLeft || !isRight:
		return Undefined, nil
	}
	switch n.text {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		return a / b, nil
	}
	return math.Mod(a, b), nil
}

// finite refuses to go on computing with what is too large.
func finite(n *node, numbers ...float64) error {
	for _, f := range numbers {
		if math.IsInf(f, 0) {
			return newError("D1001", n.pos).with("value", f)
		}
	}
	return nil
}

// compare is < and its like: of two numbers or two strings.
func compare(n *node, left, right any) (any, error) {
	for _, v := range []any{left, right} {
		if _, isText := v.(string); !isText && !isNumber(v) && !IsUndefined(v) {
			return nil, newError("T2010", n.pos).with("token", n.text).with("value", v)
		}
	}
	if IsUndefined(left) || IsUndefined(right) {
		return Undefined, nil
	}
	a, isNumber := number(left)
	b, isNumber2 := number(right)
	if isNumber != isNumber2 {
		return nil, newError("T2009", n.pos).with("token", n.text).with("value", left).with("value2", right)
	}
	before, after := a < b, a > b
	if !isNumber {
		s, t := left.(string), right.(string)
		before, after = less(s, t), less(t, s)
	}
	switch n.text {
	case "<":
		return before, nil
	case "<=":
		return before || !after && (!isNumber || a == b), nil
	case ">":
		return after, nil
	}
	return after || !before && (!isNumber || a == b), nil
}

func (ev *evaluator) concat(left, right any) (any, error) {
	a, err := ev.text(left)
	if err != nil {
		return nil, err
	}
	b, err := ev.text(right)
	if err != nil {
		return nil, err
	}
	if err := ev.chargeText(len(a) + len(b)); err != nil {
		return nil, err
	}
	return a + b, nil
}

// maxRange is the longest range of the reference implementation. rangeBytes are taken while a range is made, so that a limit
// of 20 MiB ends where that of Step Functions does: at 873,782 numbers.
const (
	maxRange   = 10_000_000
	rangeBytes = 752
)

func (ev *evaluator) rangeOf(n *node, left, right any) (any, error) {
	a, isLeft := number(left)
	b, isRight := number(right)
	switch {
	case !IsUndefined(left) && !(isLeft && a == math.Trunc(a) && !math.IsInf(a, 0)):
		return nil, newError("T2003", n.pos).with("value", left)
	case !IsUndefined(right) && !(isRight && b == math.Trunc(b) && !math.IsInf(b, 0)):
		return nil, newError("T2004", n.pos).with("value", right)
	case !isLeft || !isRight || a > b:
		return Undefined, nil
	}
	size := b - a + 1
	if size > maxRange {
		return nil, newError("D2014", n.pos).with("value", size)
	}
	if err := ev.charge(int64(size)*numberBytes + rangeBytes); err != nil {
		return nil, err
	}
	ev.used -= rangeBytes
	out := make([]any, int(size))
	for i := range out {
		out[i] = a + float64(i)
	}
	return &sequence{items: out}, nil
}

// contains is "in".
func (ev *evaluator) contains(left, right any) (any, error) {
	if IsUndefined(left) || IsUndefined(right) {
		return false, nil
	}
	for _, item := range listOf(right) {
		if same, err := ev.equal(left, item, 0); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// lookupName takes a field of an object, or of all objects in an array.
func (ev *evaluator) lookupName(v any, name string) (any, error) {
	if o, ok := v.(*value.Object); ok {
		if f, ok := o.Get(name); ok {
			return f, nil
		}
		return Undefined, nil
	}
	list, ok := items(v)
	if !ok {
		return Undefined, nil
	}
	out := &sequence{}
	if err := ev.collectName(list, name, out, 0); err != nil {
		return nil, err
	}
	return out, nil
}

// collectName adds what the items of a list have under a name; arrays are opened.
func (ev *evaluator) collectName(list []any, name string, out *sequence, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	for _, item := range list {
		if err := ev.step(1); err != nil {
			return err
		}
		if inner, ok := items(item); ok {
			if err := ev.collectName(inner, name, out, depth+1); err != nil {
				return err
			}
			continue
		}
		o, ok := item.(*value.Object)
		if !ok {
			continue
		}
		v, ok := o.Get(name)
		if !ok {
			continue
		}
		if err := ev.push(out, v); err != nil {
			return err
		}
	}
	return nil
}

// push adds a value to a list of results; of an array, its items.
func (ev *evaluator) push(out *sequence, v any) error {
	list, ok := items(v)
	if !ok {
		out.items = append(out.items, v)
		return ev.charge(itemBytes)
	}
	if err := ev.charge(int64(len(list)) * itemBytes); err != nil {
		return err
	}
	out.items = append(out.items, list...)
	return nil
}

// wildcard gives the values of all fields. An array among them comes with all that is in it, and makes the whole an
// array instead of a list of results.
func (ev *evaluator) wildcard(input any) (any, error) {
	if s, ok := input.(*sequence); ok && s.outer {
		input = s.items[0]
	}
	out := &sequence{}
	var values []any
	if o, ok := input.(*value.Object); ok {
		for i := range o.Len() {
			_, v := o.At(i)
			values = append(values, v)
		}
	} else {
		values, _ = items(input)
	}
	for _, v := range values {
		list, ok := items(v)
		if !ok {
			if err := ev.push(out, v); err != nil {
				return nil, err
			}
			continue
		}
		out.array = true
		if err := ev.flatten(list, out, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// flatten adds all that is in an array and in the arrays in it.
func (ev *evaluator) flatten(list []any, out *sequence, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	for _, item := range list {
		inner, ok := items(item)
		var err error
		if ok {
			err = ev.flatten(inner, out, depth+1)
		} else {
			err = ev.push(out, item)
		}
		if err != nil {
			return err
		}
	}
	return ev.step(1)
}

func (ev *evaluator) descendants(input any) (any, error) {
	out := &sequence{}
	if IsUndefined(input) {
		return Undefined, nil
	}
	err := ev.descend(input, out, 0)
	return out, err
}

// descend adds a value and all below it, but no arrays.
func (ev *evaluator) descend(v any, out *sequence, depth int) error {
	if depth > maxValueDepth {
		return &LimitError{Limit: LimitMemory}
	}
	if list, ok := items(v); ok {
		for _, item := range list {
			if err := ev.descend(item, out, depth+1); err != nil {
				return err
			}
		}
		return ev.step(1)
	}
	if err := ev.push(out, v); err != nil {
		return err
	}
	o, _ := v.(*value.Object)
	for i := range o.Len() {
		_, item := o.At(i)
		if err := ev.descend(item, out, depth+1); err != nil {
			return err
		}
	}
	return nil
}
