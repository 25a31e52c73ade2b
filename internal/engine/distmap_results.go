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

// writer is a ResultWriter whose expressions have been evaluated.
type writer struct {
	Parameters struct{ Bucket, Prefix string }
	Config     struct{ Transformation, OutputType string } `json:"WriterConfig"`
}

// resultFile is one of the files that a result writer writes: the results of the children with one status.
type resultFile struct {
	status stepfn.Status
	lines  bool // the format is JSON Lines, not JSON
	key    string
	file   *os.File // a temporary file
	n      int64    // the number of results
	size   int64    // in bytes
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

// resultStatuses are the statuses for which there is a file, in the order in which the manifest names the files.
var resultStatuses = []stepfn.Status{stepfn.Failed, unstarted, stepfn.Succeeded}

// write writes the children's results to files by status, and a manifest that names the files, as Step Functions does. It returns the
// Map's output, which names the manifest. If withUnstarted is set, the children that were not started are included. A redrive does not
// replace the files of an earlier drive.
func (d *mapDriver) write(w *writer, withUnstarted bool) ([]byte, error) {
	if d.e.c.Objects == nil {
		return nil, unwritable(errors.New("no object store is configured"))
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
		if err := f.create(); err != nil {
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

// fill writes the results of the children that were started to the files, and then, if withUnstarted is set, the inputs of the others.
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

// transformed returns the output of a Map without a bucket: an array of the results, in the form that WriterConfig selects.
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

// shape applies WriterConfig.Transformation to a result: NONE returns the description of the execution, COMPACT its output, FLATTEN the
// elements of its output if that is an array. The default is NONE with a bucket, and COMPACT without one. For a child that did not
// succeed, the result is always the description.
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

// resultOf returns the description of a child execution for a result file, with its fields in alphabetical order.
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

// create creates the temporary file, so that results of any size need no memory.
func (f *resultFile) create() (err error) {
	f.file, err = os.CreateTemp("", "rayorch-results-")
	return err
}

func (f *resultFile) remove() {
	if f.file != nil {
		_ = f.file.Close()
		_ = os.Remove(f.file.Name())
	}
}

// add appends a result. A JSON file is an array of the results; in JSON Lines, each result is a line.
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

// upload uploads the files that have results, and then the manifest, so that a reader that finds the manifest finds all files.
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
