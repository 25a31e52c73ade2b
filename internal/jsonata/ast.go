package jsonata

// kind is what a node of the syntax tree is.
type kind int

const (
	kindLiteral     kind = iota // value
	kindEnd                     // the end of the text, where an operand should be
	kindName                    // text: a field
	kindVariable                // text; empty is the context item, "$" the root
	kindWildcard                // *
	kindDescendant              // **
	kindParent                  // %: slot
	kindRegex                   // regex
	kindPath                    // items: the steps
	kindSort                    // terms; only as a step
	kindArray                   // items
	kindObject                  // pairs
	kindNegate                  // left
	kindBinary                  // text: the operator; left, right
	kindBind                    // text: the variable; right
	kindApply                   // ~>: left, right
	kindCondition               // left ? right : third, which may be nil
	kindBlock                   // items
	kindCall                    // left: what is called; items: arguments
	kindPartial                 // the same, some arguments are placeholders
	kindPlaceholder             // ? among arguments
	kindLambda                  // params, signature, right: the body
	kindTransform               // left: pattern, right: update, third: what to delete or nil
)

// node is a part of an expression. Which fields count depends on its kind.
type node struct {
	kind  kind
	pos   int
	text  string
	value any // of a literal, in this package's form
	regex *Regex

	left, right, third *node
	items              []*node
	pairs              []pair
	terms              []sortTerm
	params             []string
	signature          *signature
	thunk              bool // a lambda that stands for a call in tail position: items are none, right is the call

	keepArray bool // followed by []: a single result stays an array
	consArray bool // an array constructor at the start or the end of a path: stays together
	tuple     bool // a step whose results carry bindings
	focus     string
	index     string
	ancestor  *slot // where a later % finds the parent
	slot      *slot // of %
	seeking   []*slot
	group     *node // kindObject

	predicates []*node // outside of paths
	stages     []stage // of a step: its predicates, with bindings of positions between them
}

type pair struct{ key, value *node }

type sortTerm struct {
	expr       *node
	descending bool
}

// stage is a predicate of a step, or the binding of a position (#$i) between predicates.
type stage struct {
	filter *node
	index  string
}

// slot is a place for a parent: % asks for it, an earlier step fills it under its label.
type slot struct {
	label string
	level int
}

// firstStep is the step that a path begins with; other nodes begin with themselves.
func (n *node) firstStep() *node {
	if n.kind == kindPath {
		return n.items[0]
	}
	return n
}

// lastStep is the step that a path ends with.
func (n *node) lastStep() *node {
	if n.kind == kindPath {
		return n.items[len(n.items)-1]
	}
	return n
}

// pathOf makes a path of a node that is none.
func pathOf(n *node) *node {
	if n.kind == kindPath {
		return n
	}
	return &node{kind: kindPath, pos: n.pos, items: []*node{n}}
}
