package jsonata

// Ref is a reference from an expression to something outside of it.
type Ref struct {
	Kind     RefKind
	Name     string // of the variable or the field
	Field    string // of a variable: the field that the expression reads, "" if it reads the whole variable
	Position int    // in bytes
}

// RefKind is what a Ref refers to.
type RefKind int

// The kinds of references: a variable that the expression does not bind itself, the root ($$), and the context item of the whole
// expression ($) and its fields.
const (
	RefVariable RefKind = iota
	RefRoot
	RefContext
	RefField
)

// Refs visits the references of an expression in the order of its text, except the names of functions that it calls.
func (x *Expr) Refs(visit func(Ref)) {
	w := refWalker{visit: visit, bound: map[string]bool{}}
	w.bindings(x.root)
	w.walk(x.root, false)
}

// refWalker visits references. inner means, in its methods, that names refer to the result of an earlier part of the expression.
type refWalker struct {
	visit func(Ref)
	bound map[string]bool // variables that are bound anywhere in the expression
}

// bindings records the variables that an expression binds.
func (w *refWalker) bindings(n *node) {
	for _, p := range n.params {
		w.bound[p] = true
	}
	if n.kind == kindBind {
		w.bound[n.text] = true
	}
	w.bound[n.focus], w.bound[n.index] = true, true
	for _, s := range n.stages {
		w.bound[s.index] = true
	}
	n.children(func(child *node, _ bool) { w.bindings(child) })
}

// children visits the parts of a node in the order of the text. inner reports that the context of the part is the result of an
// earlier part.
func (n *node) children(visit func(child *node, inner bool)) {
	each := func(inner bool, nodes ...*node) {
		for _, c := range nodes {
			if c != nil {
				visit(c, inner)
			}
		}
	}
	transform := n.kind == kindTransform
	each(transform, n.left, n.right, n.third)
	for i, item := range n.items {
		each(n.kind == kindPath && i > 0, item)
	}
	for _, p := range n.pairs {
		each(false, p.key, p.value)
	}
	for _, t := range n.terms {
		each(true, t.expr)
	}
	each(true, n.predicates...)
	for _, s := range n.stages {
		each(true, s.filter)
	}
	if n.group != nil {
		for _, p := range n.group.pairs {
			each(true, p.key, p.value)
		}
	}
}

// walk visits the references in a node and its parts.
func (w *refWalker) walk(n *node, inner bool) {
	switch n.kind {
	case kindName:
		if !inner {
			w.visit(Ref{Kind: RefField, Name: n.text, Position: n.pos})
		}
	case kindVariable:
		w.variable(n, "", inner)
	case kindPath:
		w.path(n, inner)
		return
	}
	n.children(func(child *node, deeper bool) {
		if n.kind == kindCall && child == n.left && child.kind == kindVariable && child.text != "" && child.text != "$" {
			return // variables from outside are never functions
		}
		w.walk(child, inner || deeper)
	})
}

// path visits a path. A variable at its start is visited together with the field that the path reads from it.
func (w *refWalker) path(n *node, inner bool) {
	n.children(func(child *node, deeper bool) {
		if child != n.items[0] || child.kind != kindVariable {
			w.walk(child, inner || deeper)
			return
		}
		field := ""
		plain := len(child.stages) == 0 && len(child.predicates) == 0 && !child.tuple
		if plain && len(n.items) > 1 && n.items[1].kind == kindName {
			field = n.items[1].text
		}
		w.variable(child, field, inner)
		child.children(func(c *node, deeper bool) { w.walk(c, inner || deeper) })
	})
}

// variable visits a variable, unless the expression binds it.
func (w *refWalker) variable(n *node, field string, inner bool) {
	switch {
	case n.text == "$":
		w.visit(Ref{Kind: RefRoot, Position: n.pos})
	case n.text == "" && !inner:
		w.visit(Ref{Kind: RefContext, Position: n.pos})
	case n.text != "" && !w.bound[n.text]:
		w.visit(Ref{Kind: RefVariable, Name: n.text, Field: field, Position: n.pos})
	}
}
