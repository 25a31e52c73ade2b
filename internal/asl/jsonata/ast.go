package jsonata

// kind is the kind of a node of the syntax tree.
type kind int

const (
	kindLiteral     kind = iota // value
	kindEnd                     // the end of the source, where an operand is expected
	kindName                    // text: a field
	kindVariable                // text: the name; "" is the context item, "$" the root
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
	kindPartial                 // a call in which some arguments are placeholders
	kindPlaceholder             // ? in place of an argument
	kindLambda                  // params, signature, right: the body
	kindTransform               // left: pattern, right: update, third: delete, which may be nil
)

// node is a part of an expression. Its kind determines which fields are used.
type node struct {
	kind  kind
	pos   int
	text  string
	value any // of a literal, as an evaluation represents it
	regex *Regex

	left, right, third *node
	items              []*node
	pairs              []pair
	terms              []sortTerm
	params             []string
	signature          *signature
	thunk              bool // a lambda without parameters that represents a call in tail position: right is the call

	keepArray bool    // followed by []: a single result stays an array
	consArray bool    // an array constructor at the start or the end of a path: its array is not flattened
	tuple     bool    // a step whose results carry bindings
	focus     string  // the variable that @ binds to the result of the step
	index     string  // the variable that # binds to the position of the result
	ancestor  *slot   // where a later % finds the parent
	slot      *slot   // of kindParent
	seeking   []*slot // parents that the node refers to and that the linker has not found yet
	group     *node   // kindObject

	predicates []*node // outside of paths
	stages     []stage // of a step: its predicates, with bindings of positions between them
}

// pair is an entry of an object constructor.
type pair struct{ key, value *node }

// sortTerm is a term of an order-by clause.
type sortTerm struct {
	expr       *node
	descending bool
}

// stage is a predicate of a step, or the binding of a position (#$i) between predicates.
type stage struct {
	filter *node
	index  string
}

// slot connects a % with the earlier step whose input it refers to: that step binds its input under the label.
type slot struct {
	label string
	level int
}

// firstStep returns the first step of a path, and any other node itself.
func (n *node) firstStep() *node {
	if n.kind == kindPath {
		return n.items[0]
	}
	return n
}

// lastStep returns the last step of a path, and any other node itself.
func (n *node) lastStep() *node {
	if n.kind == kindPath {
		return n.items[len(n.items)-1]
	}
	return n
}

// pathOf returns a path as it is, and a path with one step for any other node.
func pathOf(n *node) *node {
	if n.kind == kindPath {
		return n
	}
	return &node{kind: kindPath, pos: n.pos, items: []*node{n}}
}
