package interp

import (
	"strings"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// iterations performs the steps of a Map before its first iteration, records each stage, and returns the number of
// iterations; -1 if it is unknown.
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
			return -1 // the state itself fails with this error
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

// itemsOf returns the items in the state's input, or those of ReaderData if there is an ItemReader.
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

// readerField returns a string field of ReaderConfig, "" if it is missing.
func readerField(r *asl.ItemReader, name string) string {
	config, _ := r.Config.(*value.Object)
	if config == nil {
		return ""
	}
	v, _ := config.Get(name)
	s, _ := v.(string)
	return s
}

// pointed returns the value at a JSON pointer (RFC 6901) that consists of names; nil if there is none.
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

// batches groups inputs into the inputs of children. TestState shows each item of a batch as a string.
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

// answersObject reports whether a successful result of the resource is always an object, as that of an AWS service. The
// output of a callback or of a Lambda function called by its own ARN can be any value.
func answersObject(resource string) bool {
	return strings.HasPrefix(resource, stepfn.Integration+"lambda:invoke") && !strings.HasSuffix(resource, ".waitForTaskToken") ||
		strings.HasPrefix(resource, stepfn.Integration+"aws-sdk:")
}
