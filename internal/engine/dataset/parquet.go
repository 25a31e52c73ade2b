package dataset

import (
	"errors"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"

	"github.com/rayorch/rayorch/internal/value"
)

// The limits of Step Functions for Parquet files, in bytes.
const (
	maxFooter   = 5 << 20
	maxRowGroup = 256 << 20
)

// readParquet calls fn with an object for each row; its members are the columns, in their order. Parquet is read from the end of the
// file, so that input without random access is copied to a temporary file first. The library panics on some files that are not Parquet;
// readParquet converts that to an error.
func readParquet(in io.Reader, fn func(Item) error) (err error) {
	file, size, remove, err := seekable(in)
	if err != nil {
		return err
	}
	defer remove()
	taking := false // fn is being called: a panic is not caused by the file
	defer func() {
		if p := recover(); p != nil {
			if taking {
				panic(p)
			}
			err = wrong("The file is not Parquet: %v", p)
		}
	}()
	if err := checkFooter(file, size); err != nil {
		return err
	}
	f, err := parquet.OpenFile(file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return wrong("The file is not Parquet: %s", err)
	}
	for _, group := range f.Metadata().RowGroups {
		if group.TotalByteSize > maxRowGroup {
			return wrong("A row group has %d bytes, the maximum is %d", group.TotalByteSize, maxRowGroup)
		}
	}
	r := rowReader{root: f.Root(), fn: func(it Item) error {
		taking = true
		defer func() { taking = false }()
		return fn(it)
	}}
	for _, group := range f.RowGroups() {
		if err := r.group(group); err != nil {
			return err
		}
	}
	return nil
}

// checkFooter checks the length of the footer, before the library allocates memory for it.
func checkFooter(file io.ReaderAt, size int64) error {
	var tail [8]byte
	if size < 12 {
		return wrong("The file is not Parquet: it has %d bytes", size)
	}
	if _, err := file.ReadAt(tail[:], size-8); err != nil {
		return wrong("Reading the file: %s", err)
	}
	n := int64(tail[0]) | int64(tail[1])<<8 | int64(tail[2])<<16 | int64(tail[3])<<24
	if n > maxFooter || n > size-12 {
		return wrong("The file is not Parquet, or its footer of %d bytes is longer than the maximum of %d", n, maxFooter)
	}
	return nil
}

// seekable returns in if it is a regular file, or copies it to a temporary file, which remove deletes.
func seekable(in io.Reader) (file io.ReaderAt, size int64, remove func(), err error) {
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return f, info.Size(), func() {}, nil
		}
	}
	f, err := os.CreateTemp("", "rayorch-items-")
	if err != nil {
		return nil, 0, nil, err
	}
	remove = func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	if size, err = io.Copy(f, in); err != nil {
		remove()
		return nil, 0, nil, wrong("Reading the file: %s", err)
	}
	return f, size, remove, nil
}

// rowReader converts rows to JSON. Parquet stores a row as a list of values for each leaf of the schema.
type rowReader struct {
	root *parquet.Column
	fn   func(Item) error
}

// rowsAtOnce is the number of rows that are read together: enough for speed, and few enough for the memory.
const rowsAtOnce = 64

// group calls fn for each row of a row group.
func (r *rowReader) group(group parquet.RowGroup) error {
	rows := group.Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, rowsAtOnce)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			c := newCursor(row)
			o := value.NewObject(len(r.root.Columns()))
			for _, column := range r.root.Columns() {
				o.Set(column.Name(), c.read(column, 0, 0))
			}
			if err := r.fn(Item{Value: o}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrong("Reading Parquet: %s", err)
		}
	}
}
