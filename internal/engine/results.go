package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// writer is a ResultWriter, evaluated.
type writer struct {
	Parameters struct{ Bucket, Prefix string }
	Config     struct{ Transformation, OutputType string } `json:"WriterConfig"`
}

// resultFile is one of the files that a result writer leaves: the children of one status.
type resultFile struct {
	status string
	key    string
	file   *os.File
	n      int64
	size   int64
}

func unwritable(err error) error {
	return &failed{"States.ResultWriterFailed", err.Error()}
}

// write puts the children's results into files by status, and names them in a manifest, as Step Functions does.
func (d *mapDriver) write() ([]byte, error) {
	var w writer
	if err := json.Unmarshal(d.spec.Writer, &w); err != nil {
		return nil, unwritable(err)
	}
	if w.Parameters.Bucket == "" {
		return d.transformed(&w)
	}
	if d.e.c.Objects == nil {
		return nil, unwritable(errors.New("no object store is configured here"))
	}
	base := strings.TrimSuffix(w.Parameters.Prefix, "/") + "/" + d.spec.ARN[strings.LastIndexByte(d.spec.ARN, ':')+1:]
	base = strings.TrimPrefix(base, "/")
	files := map[bool]*resultFile{true: {status: "SUCCEEDED"}, false: {status: "FAILED"}}
	for _, f := range files {
		defer f.remove() //nolint:gocritic // there are two
		f.key = base + "/" + f.status + "_0." + strings.ToLower(orElse(w.Config.OutputType, "JSON"))
		if err := f.make(); err != nil {
			return nil, unwritable(err)
		}
	}
	for index := range d.executions() {
		x, err := d.result(index)
		if err != nil {
			return nil, err
		}
		if err := files[x.Status == Succeeded].add(&w, &x); err != nil {
			return nil, unwritable(err)
		}
	}
	key := base + "/manifest.json"
	if err := d.upload(&w, files, key); err != nil {
		return nil, unwritable(err)
	}
	return value.Bytes(value.Obj("MapRunArn", d.spec.ARN,
		"ResultWriterDetails", value.Obj("Bucket", w.Parameters.Bucket, "Key", key))), nil
}

// transformed is the output of a ResultWriter that only has a WriterConfig: the results as they would be written.
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
		if len(out) >= maxOutput {
			return nil, d.tooLarge()
		}
	}
	return append(out, ']'), nil
}

// shape is what WriterConfig.Transformation makes of a result: NONE keeps the execution's description, COMPACT its
// output, FLATTEN the members of an output that is an array.
func (w *writer) shape(x *Execution) []any {
	switch {
	case x.Status != Succeeded, w.Config.Transformation == "", w.Config.Transformation == "NONE":
		return []any{resultOf(x)}
	}
	v, err := value.Parse(x.Output)
	if err != nil {
		v = string(x.Output)
	}
	if list, ok := v.([]any); ok && w.Config.Transformation == "FLATTEN" {
		return list
	}
	return []any{v}
}

// resultOf describes a child execution in a result file.
func resultOf(x *Execution) *value.Object {
	included := value.Obj("Included", true)
	o := value.Obj("ExecutionArn", x.ARN, "Input", string(x.Input), "InputDetails", included, "Name", x.Name)
	if x.Status == Succeeded {
		o.Set("Output", string(x.Output))
		o.Set("OutputDetails", included)
	} else {
		o.Set("Error", x.Error)
		o.Set("Cause", x.Cause)
	}
	o.Set("RedriveCount", value.Int(int64(x.RedriveCount)))
	o.Set("RedriveStatus", x.RedriveStatus)
	o.Set("StartDate", stamp(x.Started))
	o.Set("StateMachineArn", x.MachineARN)
	o.Set("Status", x.Status)
	o.Set("StopDate", stamp(x.Stopped))
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

func (f *resultFile) add(w *writer, x *Execution) error {
	for _, v := range w.shape(x) {
		mark := ","
		switch lines := w.Config.OutputType == "JSONL"; {
		case lines && f.n > 0:
			mark = "\n"
		case lines:
			mark = ""
		case f.n == 0:
			mark = "["
		}
		f.n++
		if err := f.put(append([]byte(mark), value.Bytes(v)...)); err != nil {
			return err
		}
	}
	return nil
}

func (f *resultFile) put(b []byte) error {
	n, err := f.file.Write(b)
	f.size += int64(n)
	return err
}

// upload puts the files that have results in their place, and the manifest last: who finds it finds all.
func (d *mapDriver) upload(w *writer, files map[bool]*resultFile, manifest string) error {
	lists := value.NewObject(3)
	for _, f := range []*resultFile{files[false], {status: "PENDING"}, files[true]} {
		entries := []any{}
		if f.n > 0 {
			if w.Config.OutputType != "JSONL" {
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
		lists.Set(f.status, entries)
	}
	text := value.Text(value.Obj("DestinationBucket", w.Parameters.Bucket, "MapRunArn", d.spec.ARN, "ResultFiles", lists))
	return d.e.c.Objects.Put(d.ctx, w.Parameters.Bucket, manifest, strings.NewReader(text))
}

func (d *mapDriver) tooLarge() error {
	return &failed{"States.DataLimitExceeded", fmt.Sprintf("The state/task '%s' returned a result with a size exceeding "+
		"the maximum number of bytes service limit.", d.spec.State)}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
