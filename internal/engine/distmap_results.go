package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// writer is a ResultWriter, evaluated.
type writer struct {
	Parameters struct{ Bucket, Prefix string }
	Config     struct{ Transformation, OutputType string } `json:"WriterConfig"`
}

// resultFile is one of the files that a result writer leaves: the children of one status.
type resultFile struct {
	status stepfn.Status
	lines  bool // JSON Lines
	key    string
	file   *os.File
	n      int64
	size   int64
}

func orEmpty(b []byte) []byte {
	if len(b) == 0 {
		return []byte("{}")
	}
	return b
}

func unwritable(err error) error {
	return &failed{stepfn.StatesResultWriterFailed, err.Error()}
}

// unstarted is the status, in results only, of a child that was never started.
const unstarted stepfn.Status = "PENDING"

// resultStatuses are the kinds of files, in the order in which the manifest names them.
var resultStatuses = []stepfn.Status{stepfn.Failed, unstarted, stepfn.Succeeded}

// write puts the children's results into files by status, and names them in a manifest, as Step Functions does. With
// withUnstarted, the children that were never started are included. A redrive writes files beside the earlier ones.
func (d *mapDriver) write(w *writer, withUnstarted bool) ([]byte, error) {
	if d.e.c.Objects == nil {
		return nil, unwritable(errors.New("no object store is configured here"))
	}
	base := strings.TrimSuffix(w.Parameters.Prefix, "/") + "/" + stepfn.NameOf(d.spec.ARN)
	base = strings.TrimPrefix(base, "/")
	if m, _ := d.shown(); m.RedriveCount > 0 {
		base += "/Redrive-" + strconv.FormatInt(m.RedriveCount, 10)
	}
	files := map[stepfn.Status]*resultFile{}
	defer func() {
		for _, f := range files {
			f.remove()
		}
	}()
	for _, status := range resultStatuses {
		f := &resultFile{status: status, lines: w.Config.OutputType == "JSONL"}
		f.key = base + "/" + string(status) + "_0." + strings.ToLower(orElse(w.Config.OutputType, "JSON"))
		if err := f.make(); err != nil {
			return nil, unwritable(err)
		}
		files[status] = f
	}
	if err := d.fill(w, files, withUnstarted); err != nil {
		return nil, err
	}
	key := base + "/manifest.json"
	if err := d.upload(w, files, key); err != nil {
		return nil, unwritable(err)
	}
	return value.Bytes(value.Obj("MapRunArn", d.spec.ARN,
		"ResultWriterDetails", value.Obj("Bucket", w.Parameters.Bucket, "Key", key))), nil
}

// fill goes through the children that were started, and then through the inputs of those that were not.
func (d *mapDriver) fill(w *writer, files map[stepfn.Status]*resultFile, withUnstarted bool) error {
	started := d.executions()
	for index := range started {
		x, err := d.result(index)
		if err != nil {
			return err
		}
		f := files[stepfn.Succeeded]
		if x.Status != stepfn.Succeeded {
			f = files[stepfn.Failed]
		}
		for _, v := range w.shape(&x) {
			if err := f.add(v); err != nil {
				return unwritable(err)
			}
		}
	}
	if !withUnstarted {
		return nil
	}
	_, err := d.inputs(func(index int64, input []byte, _ int64) error {
		if index < started {
			return nil
		}
		return files[unstarted].add(value.Obj("Input", string(input), "InputDetails", value.Obj("Included", true), "Status", string(unstarted)))
	})
	return err
}

// transformed is the output of a Map without a bucket: the results as they would be written. Without a WriterConfig too
// they are compact.
func (d *mapDriver) transformed(w *writer) ([]byte, error) {
	out := []byte{'['}
	for index := range d.executions() {
		x, err := d.result(index)
		if err != nil {
			return nil, err
		}
		for _, v := range w.shape(&x) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = value.Append(out, v)
		}
		if len(out) >= stepfn.MaxPayload {
			return nil, d.tooLarge()
		}
	}
	return append(out, ']'), nil
}

// shape is what WriterConfig.Transformation makes of a result: NONE keeps the execution's description, COMPACT its
// output, FLATTEN the members of an output that is an array. What failed is always described.
func (w *writer) shape(x *Execution) []any {
	kind := w.Config.Transformation
	if kind == "" && w.Parameters.Bucket == "" {
		kind = "COMPACT"
	}
	if x.Status != stepfn.Succeeded || kind == "" || kind == "NONE" {
		return []any{resultOf(x)}
	}
	v, err := value.Parse(x.Output)
	if err != nil {
		v = string(x.Output)
	}
	if list, ok := v.([]any); ok && kind == "FLATTEN" {
		return list
	}
	return []any{v}
}

// resultOf describes a child execution in a result file, its fields in the order of the alphabet.
func resultOf(x *Execution) *value.Object {
	o := value.NewObject(16)
	set := func(name string, v any) {
		if v != "" {
			o.Set(name, v)
		}
	}
	included := value.Obj("Included", true)
	set("Cause", x.Cause)
	set("Error", x.Error)
	set("ExecutionArn", x.ARN)
	set("Input", string(x.Input))
	set("InputDetails", included)
	set("Name", x.Name)
	set("Output", string(x.Output))
	set("OutputDetails", included)
	set("RedriveCount", value.Int(int64(x.RedriveCount)))
	set("RedriveStatus", x.RedriveStatus)
	set("RedriveStatusReason", x.RedriveReason)
	set("StartDate", stamp(x.Started))
	set("StateMachineArn", x.MachineARN)
	set("Status", string(x.Status))
	set("StopDate", stamp(x.Stopped))
	return o
}

// make begins the file aside, so that a result of any size needs no memory.
func (f *resultFile) make() (err error) {
	f.file, err = os.CreateTemp("", "rayorch-results-")
	return err
}

func (f *resultFile) remove() {
	if f.file != nil {
		_ = f.file.Close()
		_ = os.Remove(f.file.Name())
	}
}

// add appends a result: a JSON file is one array; in JSON Lines, each result ends with a line break.
func (f *resultFile) add(v any) error {
	b := value.Bytes(v)
	switch {
	case f.lines:
		b = append(b, '\n')
	case f.n == 0:
		b = append([]byte("["), b...)
	default:
		b = append([]byte(","), b...)
	}
	f.n++
	return f.put(b)
}

func (f *resultFile) put(b []byte) error {
	n, err := f.file.Write(b)
	f.size += int64(n)
	return err
}

// upload writes the files that have results, and the manifest last: a reader that finds it finds all files.
func (d *mapDriver) upload(w *writer, files map[stepfn.Status]*resultFile, manifest string) error {
	lists := value.NewObject(3)
	for _, status := range resultStatuses {
		f, entries := files[status], []any{}
		if f.n > 0 {
			if !f.lines {
				if err := f.put([]byte("]")); err != nil {
					return err
				}
			}
			if _, err := f.file.Seek(0, io.SeekStart); err != nil {
				return err
			}
			if err := d.e.c.Objects.Put(d.ctx, w.Parameters.Bucket, f.key, f.file); err != nil {
				return fmt.Errorf("write %s: %w", f.key, err)
			}
			entries = append(entries, value.Obj("Key", f.key, "Size", value.Int(f.size)))
		}
		lists.Set(string(status), entries)
	}
	text := value.Text(value.Obj("DestinationBucket", w.Parameters.Bucket, "MapRunArn", d.spec.ARN, "ResultFiles", lists))
	return d.e.c.Objects.Put(d.ctx, w.Parameters.Bucket, manifest, strings.NewReader(text))
}

func (d *mapDriver) tooLarge() error {
	return &failed{stepfn.StatesDataLimitExceeded, fmt.Sprintf("The state/task '%s' returned a result with a size exceeding "+
		"the maximum number of bytes service limit.", d.spec.State)}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
