package interp

import (
	"strings"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// iterations goes through what a Map does before its first iteration, notes each stage, and says how many iterations
// there would be; -1 where nobody can know.
func (t *test) iterations(r *Run, f *frame, req *TestRequest) int64 {
	fields := f.state.Map
	if fields == nil {
		return -1
	}
	list, ok := t.itemsOf(r, f, req)
	if !ok {
		return -1
	}
	m := MapRun{selector: r.selector(f)}
	if run := r.frames[f.group].mapRun; run != nil {
		m.Batched, m.BatchItems, m.BatchBytes, m.BatchInput = run.Batched, run.BatchItems, run.BatchBytes, run.BatchInput
	}
	inputs := make([][]byte, len(list))
	for i, v := range list {
		var err error
		if inputs[i], err = m.Child(int64(i), &MapItem{Value: v}); err != nil {
			return -1 // the state fails of it, in its own words
		}
	}
	if fields.ItemSelector != nil {
		t.list(f, "afterItemSelector", inputs)
	}
	if !m.Batched {
		return int64(len(inputs))
	}
	batches := m.batches(inputs)
	t.list(f, "afterItemBatcher", batches)
	return int64(len(batches))
}

// itemsOf are the items that the state's input gives, or those that stand for what the ItemReader would read.
func (t *test) itemsOf(r *Run, f *frame, req *TestRequest) ([]any, bool) {
	var v any
	group := r.frames[f.group]
	switch reader := f.state.Map.Reader; {
	case reader == nil && group.mapRun != nil:
		v = textData(group.mapRun.Items).value()
	case reader == nil:
		v = r.frames[group.items].input.value()
	case readerField(reader, "InputType") != "JSON" || req.ReaderData == nil:
		return nil, false
	default:
		v = pointed(textData(req.ReaderData).value(), readerField(reader, "ItemsPointer"))
		if readerField(reader, "ItemsPointer") != "" && !f.state.JSONata {
			t.inspection.Set("afterItemsPointer", value.Text(v))
		}
	}
	list, ok := v.([]any)
	return list, ok
}

func readerField(r *asl.ItemReader, name string) string {
	config, _ := r.Config.(*value.Object)
	if config == nil {
		return ""
	}
	v, _ := config.Get(name)
	s, _ := v.(string)
	return s
}

// pointed is what a JSON pointer (RFC 6901) of names leads to; null when it leads nowhere.
func pointed(v any, pointer string) any {
	for _, name := range strings.Split(pointer, "/")[1:] {
		o, ok := v.(*value.Object)
		if !ok {
			return nil
		}
		v, _ = o.Get(strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~"))
	}
	return v
}

// batches groups inputs as a Map's children get them. TestState shows each item in them as a text.
func (m *MapRun) batches(inputs [][]byte) [][]byte {
	var batches, held [][]byte
	var size int64
	for _, input := range inputs {
		n := int64(len(input)) + 1
		full := m.BatchItems > 0 && int64(len(held)) >= m.BatchItems || m.BatchBytes > 0 && size+n > m.BatchBytes
		if full && len(held) > 0 {
			batches, held, size = append(batches, m.Batch(held)), nil, 0
		}
		held, size = append(held, value.AppendString(nil, string(input))), size+n
	}
	if len(held) > 0 {
		batches = append(batches, m.Batch(held))
	}
	return batches
}

// answersObject says of a resource that what it answers is an object: a service's answer is, a token's or a function's of
// one's own may be anything.
func answersObject(resource string) bool {
	return strings.HasPrefix(resource, stepfn.Integration+"lambda:invoke") && !strings.HasSuffix(resource, ".waitForTaskToken") ||
		strings.HasPrefix(resource, stepfn.Integration+"aws-sdk:")
}
