package jsonata

import "strconv"

// linker converts a parsed tree to one that can be evaluated. It joins steps into paths, attaches predicates and bindings to
// their steps, and marks calls in tail position.
//
// It also finds, for each parent operator (%), the step whose input the operator refers to. Each % has a slot with the number
// of steps that it goes up. The slot is passed from a node to the node around it (seeking) until a path has enough steps
// before it; seek then makes the step that is found bind its input under the slot's label.
type linker struct {
	parents int // number of % so far
}

// link links the tree of a whole expression.
func link(n *node) (*node, error) {
	var l linker
	out, err := l.finish(n)
	if err != nil {
		return nil, err
	}
	if out.kind == kindParent || out.seeking != nil {
		return nil, newError("S0217", out.pos).with("token", "parent")
	}
	return out, nil
}

// finish links a node and all nodes below it.
func (l *linker) finish(n *node) (*node, error) {
	out, err := l.convert(n)
	if err != nil {
		return nil, err
	}
	if n.keepArray {
		out.keepArray = true
	}
	return out, nil
}

// convert links a node by its kind.
func (l *linker) convert(n *node) (*node, error) {
	switch n.kind {
	case kindEnd:
		return nil, newError("S0207", n.pos).with("token", "(end)")
	case kindName:
		step := *n
		return &node{kind: kindPath, pos: n.pos, items: []*node{&step}, keepArray: n.keepArray}, nil
	case kindParent:
		n.slot.label = "!" + strconv.Itoa(l.parents)
		l.parents++
		return n, nil
	case kindBinary:
		return l.binary(n)
	case kindNegate:
		return l.negate(n)
	case kindCall, kindPartial:
		return n, l.call(n)
	case kindLambda:
		var err error
		if n.right, err = l.finish(n.right); err == nil {
			n.right = tailCalls(n.right)
		}
		return n, err
	case kindTransform:
		return n, l.children(nil, &n.left, &n.right, &n.third)
	case kindCondition:
		return n, l.children(n, &n.left, &n.right, &n.third)
	}
	return n, l.lists(n)
}

// lists links the items and pairs of blocks and constructors. Other nodes do not have any.
func (l *linker) lists(n *node) error {
	for i := range n.items {
		if err := l.children(n, &n.items[i]); err != nil {
			return err
		}
		if n.kind == kindBlock && (n.items[i].consArray || n.items[i].firstStep().consArray) {
			n.consArray = true
		}
	}
	for i := range n.pairs {
		if err := l.children(n, &n.pairs[i].key, &n.pairs[i].value); err != nil {
			return err
		}
	}
	return nil
}

// children links nodes in place. The owner inherits the parents that they seek.
func (l *linker) children(owner *node, nodes ...**node) error {
	for _, p := range nodes {
		if *p == nil {
			continue
		}
		child, err := l.finish(*p)
		if err != nil {
			return err
		}
		*p = child
		if owner != nil {
			owner.inherit(child)
		}
	}
	return nil
}

// inherit makes a node seek the parents that a part of it seeks.
func (n *node) inherit(part *node) {
	n.seeking = append(n.seeking, part.seeking...)
	if part.kind == kindParent {
		n.seeking = append(n.seeking, part.slot)
	}
}

func (l *linker) call(n *node) error {
	for i := range n.items {
		if err := l.children(n, &n.items[i]); err != nil {
			return err
		}
	}
	return l.children(nil, &n.left)
}

// negate converts a minus before a number to a negative number.
func (l *linker) negate(n *node) (*node, error) {
	if err := l.children(n, &n.left); err != nil {
		return nil, err
	}
	if f, ok := n.left.value.(float64); ok && n.left.kind == kindLiteral {
		n.left.value = -f
		return n.left, nil
	}
	return n, nil
}

// binary links an operator. Those that form paths are replaced by steps, stages or groups of a path.
func (l *linker) binary(n *node) (*node, error) {
	switch n.text {
	case ".":
		return l.step(n)
	case "[":
		return l.predicate(n)
	case "{":
		return l.groupBy(n)
	case "^":
		return l.orderBy(n)
	case "@":
		return l.focus(n)
	case "#":
		return l.position(n)
	case ":=":
		n.kind, n.text = kindBind, n.left.text
		return n, l.children(n, &n.right)
	case "~>":
		n.kind = kindApply
		if err := l.children(nil, &n.left, &n.right); err != nil {
			return nil, err
		}
		n.keepArray = n.left.keepArray || n.right.keepArray
		return n, nil
	}
	return n, l.children(n, &n.left, &n.right)
}

// step joins a path and the step after its dot.
func (l *linker) step(n *node) (*node, error) {
	left, err := l.finish(n.left)
	if err != nil {
		return nil, err
	}
	path := left
	if left.kind != kindPath {
		path = pathOf(left)
		if left.kind == kindParent {
			path.seeking = []*slot{left.slot}
		}
	}
	right, err := l.finish(n.right)
	if err != nil {
		return nil, err
	}
	if right.kind == kindPath {
		path.items = append(path.items, right.items...)
	} else {
		right.predicatesToStages()
		path.items = append(path.items, right)
	}
	if err := path.checkSteps(); err != nil {
		return nil, err
	}
	return path, path.findParents()
}

// predicatesToStages makes a node a step of a path: its predicates apply to the results of the step.
func (n *node) predicatesToStages() {
	for _, p := range n.predicates {
		n.stages = append(n.stages, stage{filter: p})
	}
	n.predicates = nil
}

// checkSteps turns string literals into names, rejects other literals, and marks arrays that must not be flattened.
func (n *node) checkSteps() error {
	for _, step := range n.items {
		if step.kind == kindLiteral {
			s, ok := step.value.(string)
			if !ok {
				return newError("S0213", step.pos).with("value", step.value)
			}
			step.kind, step.text = kindName, s
		}
		if step.keepArray {
			n.keepArray = true
		}
	}
	for _, step := range []*node{n.firstStep(), n.lastStep()} {
		if step.kind == kindArray {
			step.consArray = true
		}
	}
	return nil
}

// predicate attaches a[b] to the last step of a. References to parents in b refer to that step.
func (l *linker) predicate(n *node) (*node, error) {
	out, err := l.finish(n.left)
	if err != nil {
		return nil, err
	}
	step := out.lastStep()
	if step.group != nil {
		return nil, newError("S0209", n.pos)
	}
	filter, err := l.finish(n.right)
	if err != nil {
		return nil, err
	}
	for _, s := range filter.seeking {
		if s.level > 1 {
			s.level--
		} else if err := step.seek(s); err != nil {
			return nil, err
		}
	}
	step.seeking = append(step.seeking, filter.seeking...)
	if out.kind == kindPath {
		step.stages = append(step.stages, stage{filter: filter})
	} else {
		step.predicates = append(step.predicates, filter)
	}
	return out, nil
}

// groupBy attaches a{k: v} to a.
func (l *linker) groupBy(n *node) (*node, error) {
	out, err := l.finish(n.left)
	if err != nil {
		return nil, err
	}
	if out.group != nil {
		return nil, newError("S0210", n.pos)
	}
	group := &node{kind: kindObject, pos: n.pos, pairs: n.pairs}
	for i := range group.pairs {
		if err := l.children(nil, &group.pairs[i].key, &group.pairs[i].value); err != nil {
			return nil, err
		}
	}
	out.group = group
	return out, nil
}

// orderBy adds a^(b) to the path a, as a step.
func (l *linker) orderBy(n *node) (*node, error) {
	left, err := l.finish(n.left)
	if err != nil {
		return nil, err
	}
	path := pathOf(left)
	sort := &node{kind: kindSort, pos: n.pos, terms: n.terms}
	for i := range sort.terms {
		if err := l.children(sort, &sort.terms[i].expr); err != nil {
			return nil, err
		}
	}
	path.items = append(path.items, sort)
	return path, path.findParents()
}

// focus links a@$v, which binds $v to each result of a step.
func (l *linker) focus(n *node) (*node, error) {
	out, err := l.finish(n.left)
	if err != nil {
		return nil, err
	}
	step := out.lastStep()
	switch {
	case len(step.stages) > 0 || len(step.predicates) > 0:
		return nil, newError("S0215", n.pos)
	case step.kind == kindSort:
		return nil, newError("S0216", n.pos)
	}
	step.keepArray = step.keepArray || n.keepArray
	step.focus, step.tuple = n.right.text, true
	return out, nil
}

// position links a#$i, which binds $i to the position of each result of a step.
func (l *linker) position(n *node) (*node, error) {
	left, err := l.finish(n.left)
	if err != nil {
		return nil, err
	}
	path := pathOf(left)
	step := path.lastStep()
	step.predicatesToStages()
	if len(step.stages) == 0 {
		step.index = n.right.text
	} else {
		step.stages = append(step.stages, stage{index: n.right.text})
	}
	step.tuple = true
	return path, nil
}

// findParents finds the parents that the last step of a path seeks, among the steps before it. The path seeks the others.
func (n *node) findParents() error {
	last := n.lastStep()
	slots := last.seeking
	if last.kind == kindParent {
		slots = append(slots[:len(slots):len(slots)], last.slot)
	}
	for _, s := range slots {
		for i := len(n.items) - 2; s.level > 0; {
			if i < 0 {
				n.seeking = append(n.seeking, s)
				break
			}
			step := n.items[i]
			i--
			for i >= 0 && step.focus != "" && n.items[i].focus != "" { // consecutive steps that bind a focus have the same parent
				step = n.items[i]
				i--
			}
			if err := step.seek(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// seek goes one step up for a slot. The step that is found binds its input under the slot's label.
func (n *node) seek(s *slot) error {
	switch n.kind {
	case kindName, kindWildcard:
		s.level--
		if s.level > 0 {
			return nil
		}
		if n.ancestor == nil {
			n.ancestor = s
		} else {
			s.label = n.ancestor.label
		}
		n.tuple = true
	case kindParent:
		s.level++
	case kindBlock:
		if len(n.items) > 0 {
			n.tuple = true
			return n.items[len(n.items)-1].seek(s)
		}
	case kindPath:
		n.tuple = true
		for i := len(n.items) - 1; i >= 0 && (s.level > 0 || i == len(n.items)-1); i-- {
			if err := n.items[i].seek(s); err != nil {
				return err
			}
		}
	default:
		return newError("S0217", n.pos).with("token", "parent")
	}
	return nil
}

// tailCalls marks the calls in tail position of a function: they run after the function has returned.
func tailCalls(n *node) *node {
	switch {
	case n.kind == kindCall && len(n.predicates) == 0:
		return &node{kind: kindLambda, pos: n.pos, thunk: true, right: n}
	case n.kind == kindCondition:
		n.right = tailCalls(n.right)
		if n.third != nil {
			n.third = tailCalls(n.third)
		}
	case n.kind == kindBlock && len(n.items) > 0:
		n.items[len(n.items)-1] = tailCalls(n.items[len(n.items)-1])
	}
	return n
}
