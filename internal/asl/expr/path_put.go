package expr

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Put returns a copy of root in which the node at the reference path is v, as ResultPath does. It does not change root.
// Missing objects on the path are created; missing array elements are not. An error is an *Error named
// States.ReferencePathConflict, as it was recorded; the documentation calls it States.ResultPathMatchFailure.
func (p *Path) Put(root, v any) (any, error) {
	if !p.reference {
		return nil, &Error{Name: stepfn.StatesReferencePathConflict, Cause: fmt.Sprintf("The path '%s' is not a reference path", p.text)}
	}
	return p.put(root, root, p.steps, v)
}

// put copies only the objects and arrays on the path.
func (p *Path) put(root, here any, steps []step, v any) (any, error) {
	if len(steps) == 0 {
		return v, nil
	}
	if s := &steps[0]; s.kind == stepName {
		return p.putName(root, here, steps, v)
	}
	a, ok := here.([]any)
	i := steps[0].indices[0]
	if i < 0 {
		i += len(a)
	}
	if !ok || i < 0 || i >= len(a) {
		return nil, p.mismatch(root)
	}
	item, err := p.put(root, a[i], steps[1:], v)
	if err != nil {
		return nil, err
	}
	out := append([]any{}, a...)
	out[i] = item
	return out, nil
}

func (p *Path) putName(root, here any, steps []step, v any) (any, error) {
	o, ok := here.(*value.Object)
	if !ok {
		return nil, p.mismatch(root)
	}
	child, ok := o.Get(steps[0].name)
	if !ok && len(steps) > 1 {
		child = &value.Object{}
	}
	child, err := p.put(root, child, steps[1:], v)
	if err != nil {
		return nil, err
	}
	return o.With(steps[0].name, child), nil
}

// mismatch includes the whole input in the message, as Step Functions does.
func (p *Path) mismatch(root any) error {
	return &Error{Name: stepfn.StatesReferencePathConflict,
		Cause: fmt.Sprintf("Unable to apply ReferencePath %s to input %s", p.text, value.Text(root))}
}
