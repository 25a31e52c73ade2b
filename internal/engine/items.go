package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/value"
)

// Objects is a store of objects in buckets: S3, or a directory that stands in for it.
type Objects interface {
	Get(ctx context.Context, bucket, key string) (io.ReadCloser, error)
	Put(ctx context.Context, bucket, key string, body io.ReadSeeker) error
	// List calls fn for the objects whose keys begin with prefix, in the order of their keys.
	List(ctx context.Context, bucket, prefix string, fn func(Object) error) error
}

// Object is one object of a list.
type Object struct {
	Key, ETag, StorageClass string
	Size                    int64
	Modified                time.Time
}

// item is one item of a distributed Map. key and source are $$.Map.Item.Key and .Source, empty where there are none.
type item struct {
	key, source string
	value       any
}

// items calls fn for every item of the map run, however many there are: no more than one is in memory.
func (d *mapDriver) items(fn func(item) error) error {
	if len(d.spec.Reader) > 0 {
		return d.readItems(fn)
	}
	v, err := value.Parse(d.spec.Items)
	if err != nil {
		return err
	}
	list, _ := v.([]any)
	d.mu.Lock()
	d.total = int64(len(list))
	d.mu.Unlock()
	for _, v := range list {
		if err := fn(item{value: v}); err != nil {
			return err
		}
	}
	return nil
}

// reader is an ItemReader, evaluated.
type reader struct {
	Resource   string
	Parameters struct {
		Bucket, Key, Prefix string
	}
	Config struct {
		InputType, CSVHeaderLocation, CSVDelimiter, ItemsPointer string
		CSVHeaders                                               []string
		MaxItems                                                 int64
	} `json:"ReaderConfig"`
}

var errEnough = errors.New("as many items as MaxItems allows were read")

// unreadable is the error of a source that is not there or not what its type says.
func unreadable(format string, args ...any) error {
	return &failed{"States.ItemReaderFailed", fmt.Sprintf(format, args...)}
}

func (d *mapDriver) readItems(fn func(item) error) error {
	var r reader
	if err := json.Unmarshal(d.spec.Reader, &r); err != nil {
		return unreadable("The ItemReader is invalid: %s", err)
	}
	if d.e.c.Objects == nil {
		return unreadable("No object store is configured here, so %s cannot be read", r.Resource)
	}
	left := r.Config.MaxItems
	limited := func(it item) error {
		if err := fn(it); err != nil {
			return err
		}
		if left--; left == 0 {
			return errEnough
		}
		return nil
	}
	err := d.readFrom(&r, limited)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (d *mapDriver) readFrom(r *reader, fn func(item) error) error {
	p := r.Parameters
	if strings.HasSuffix(r.Resource, ":listObjectsV2") {
		return d.e.c.Objects.List(d.ctx, p.Bucket, p.Prefix, func(o Object) error {
			return fn(item{source: "S3://" + p.Bucket, value: value.Obj("Etag", o.ETag, "Key", o.Key,
				"LastModified", value.Int(o.Modified.Unix()), "Size", value.Int(o.Size), "StorageClass", o.StorageClass)})
		})
	}
	body, err := d.e.c.Objects.Get(d.ctx, p.Bucket, p.Key)
	if err != nil {
		return unreadable("Failed to read %s from %s: %s", p.Key, p.Bucket, err)
	}
	defer body.Close()
	source := "S3://" + p.Bucket + "/" + p.Key
	each := func(v any) error { return fn(item{source: source, value: v}) }
	in := bufio.NewReaderSize(body, 64<<10)
	switch r.Config.InputType {
	case "JSON":
		return readJSON(in, r.Config.ItemsPointer, fn, source)
	case "JSONL":
		return readLines(in, each)
	case "CSV":
		return readCSV(in, r, each)
	}
	return unreadable("The InputType %q is not supported here: use JSON, JSONL or CSV", r.Config.InputType)
}

func readLines(in *bufio.Reader, fn func(any) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 8<<20)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		v, err := value.Parse(lines.Bytes())
		if err != nil {
			return unreadable("Line %d: %s", n, err)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return unreadable("Reading lines: %s", err)
	}
	return nil
}

var delimiters = map[string]rune{"": ',', "COMMA": ',', "PIPE": '|', "SEMICOLON": ';', "SPACE": ' ', "TAB": '\t'}

// readCSV makes an object of every row; what a short row lacks is empty, what a long row has too much is left out.
func readCSV(in io.Reader, r *reader, fn func(any) error) error {
	rows := csv.NewReader(in)
	comma, ok := delimiters[r.Config.CSVDelimiter]
	if !ok {
		return unreadable("The CSVDelimiter %q is unknown", r.Config.CSVDelimiter)
	}
	rows.Comma, rows.FieldsPerRecord, rows.LazyQuotes = comma, -1, true
	header := r.Config.CSVHeaders
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return unreadable("Reading CSV: %s", err)
		}
		if header == nil {
			header = row
			continue
		}
		o := value.NewObject(len(header))
		for i, name := range header {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			o.Set(name, cell)
		}
		if err := fn(o); err != nil {
			return err
		}
	}
}

// readJSON reads the array (or the object, by key) that a JSON pointer leads to, one member after another.
func readJSON(in io.Reader, pointer string, fn func(item) error, source string) error {
	dec := json.NewDecoder(in)
	dec.UseNumber()
	for _, key := range strings.Split(pointer, "/")[1:] {
		if err := descend(dec, pointerKey(key)); err != nil {
			return unreadable("ItemsPointer %s: %s", pointer, err)
		}
	}
	open, err := dec.Token()
	if err != nil {
		return unreadable("The file is not JSON: %s", err)
	}
	if open != json.Delim('[') && open != json.Delim('{') {
		return unreadable("The file holds neither an array nor an object")
	}
	for dec.More() {
		it := item{source: source}
		if open == json.Delim('{') {
			key, err := dec.Token()
			if err != nil {
				return unreadable("The file is not JSON: %s", err)
			}
			it.key, _ = key.(string)
		}
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if err == nil {
			it.value, err = value.Parse(raw)
		}
		if err != nil {
			return unreadable("The file is not JSON: %s", err)
		}
		if err := fn(it); err != nil {
			return err
		}
	}
	return nil
}

// pointerKey undoes the escapes of a JSON pointer (RFC 6901, section 4).
func pointerKey(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
}

// descend goes to the value of a key in the object that comes next.
func descend(dec *json.Decoder, key string) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("there is no object with %q", key)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		if name == key {
			return nil
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return err
		}
	}
	return fmt.Errorf("there is no %q", key)
}
