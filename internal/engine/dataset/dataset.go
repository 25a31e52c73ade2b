// Package dataset reads the items of distributed Maps from files in the formats JSON, JSON Lines, CSV and Parquet. It also reads the
// manifests of Amazon S3 Inventory and of Athena, which name such files. It does not access buckets: package engine opens the files. Items
// are passed on one by one, so that a file may be larger than the memory.
package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Format describes the format of a file. The fields are those of a ReaderConfig.
type Format struct {
	InputType         string // CSV, JSON, JSONL or PARQUET
	CSVHeaderLocation string // FIRST_ROW (the default) or GIVEN
	CSVDelimiter      string // COMMA (the default), PIPE, SEMICOLON, SPACE or TAB
	CSVHeaders        []string
	ItemsPath         string // like ItemsPointer, but ignored if the file is an array
	ItemsPointer      string // a JSON pointer (RFC 6901) to the items in a JSON file
}

// Item is an item. If it is a member of an object, Keyed is set and Key is its name.
type Item struct {
	Key   string
	Keyed bool
	Value any
}

// Error means that a file does not match its format. Errors of the function that gets the items are returned unchanged.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// MaxItemBytes is the maximum size of a line, row or member: Step Functions accepts items of up to 8 MB.
const MaxItemBytes = 8 << 20

// Read calls fn for each item of a file. JSON, JSON Lines and CSV may be compressed with gzip or zstd, which Read detects.
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
	return wrong("The InputType %q is not supported: use CSV, JSON, JSONL or PARQUET", f.InputType)
}

// maxWindow is the maximum memory that the window of a file that is compressed with zstd may need, in bytes.
const maxWindow = 128 << 20

// expand decompresses a file if its first bytes are those of gzip or zstd.
func expand(file io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(file, 64<<10)
	magic, _ := in.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, wrong("The gzip file is incomplete or damaged: %s", err)
		}
		return z, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, wrong("The zstd file is incomplete or damaged: %s", err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(skipMark(in)), nil
}

// skipMark skips the byte order mark that some editors write before UTF-8, so that it does not become part of a name or value.
func skipMark(in *bufio.Reader) io.Reader {
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte{0xef, 0xbb, 0xbf}) {
		_, _ = in.Discard(3)
	}
	return in
}
