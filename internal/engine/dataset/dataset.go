// Package dataset reads the items of distributed Maps out of files: JSON, JSON Lines, CSV and Parquet, and the manifests
// of Amazon S3's inventory and of Athena, which name such files. It knows nothing of buckets and of executions: engine
// opens the files and takes the items, one after another, so that a file may be larger than the memory.
package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Format is what a ReaderConfig says of a file; the names are its own.
type Format struct {
	InputType         string // CSV, JSON, JSONL or PARQUET
	CSVHeaderLocation string // FIRST_ROW (the default) or GIVEN
	CSVDelimiter      string // COMMA (the default), PIPE, SEMICOLON, SPACE or TAB
	CSVHeaders        []string
	ItemsPath         string // like ItemsPointer, but a file that is an array is read as it is
	ItemsPointer      string // a JSON pointer (RFC 6901) to the items in a JSON file
}

// Item is one item. Key is its name where the items are the members of an object, and Keyed says that they are.
type Item struct {
	Key   string
	Keyed bool
	Value any
}

// Error says why a file is not what its format promises. What the taker of the items returns is no such error.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// MaxItemBytes bounds one line, row or member: Step Functions takes items of at most 8 MB.
const MaxItemBytes = 8 << 20

// Read calls fn for every item of a file. Text may be compressed with gzip or zstd, which shows in its first bytes.
func Read(file io.Reader, f *Format, fn func(Item) error) error {
	if f.InputType == "PARQUET" {
		return readParquet(file, fn)
	}
	in, err := expand(file)
	if err != nil {
		return err
	}
	defer in.Close()
	switch f.InputType {
	case "JSON":
		return readJSON(in, f, fn)
	case "JSONL":
		return readLines(in, fn)
	case "CSV":
		return readCSV(in, f, fn)
	}
	return wrong("The InputType %q is not supported here: use CSV, JSON, JSONL or PARQUET", f.InputType)
}

// maxWindow bounds the memory that a file compressed with zstd may ask for.
const maxWindow = 128 << 20

func expand(file io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(file, 64<<10)
	magic, _ := in.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, wrong("The file is not whole: %s", err)
		}
		return z, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, wrong("The file is not whole: %s", err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(skipMark(in)), nil
}

// skipMark leaves out the mark that some editors put before UTF-8: it belongs to no name and to no value.
func skipMark(in *bufio.Reader) io.Reader {
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte{0xef, 0xbb, 0xbf}) {
		_, _ = in.Discard(3)
	}
	return in
}
