package dataset

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// readLines reads an item from each line, and skips empty lines.
func readLines(in io.Reader, fn func(Item) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, MaxItemBytes)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		v, err := value.Parse(lines.Bytes())
		if err != nil {
			return wrong("Line %d: %s", n, err)
		}
		if err := fn(Item{Value: v}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return wrong("Reading lines: %s", err)
	}
	return nil
}

var delimiters = map[string]rune{"": ',', "COMMA": ',', "PIPE": '|', "SEMICOLON": ';', "SPACE": ' ', "TAB": '\t'}

// maxHeader is the maximum length of a CSV header on Step Functions, in bytes.
const maxHeader = 10 << 10

// readCSV calls fn with an object for each row. Missing cells at the end of a row are empty strings; additional cells are ignored.
func readCSV(in io.Reader, f *Format, fn func(Item) error) error {
	comma, ok := delimiters[f.CSVDelimiter]
	if !ok {
		return wrong("The CSVDelimiter %q is not supported: use COMMA, PIPE, SEMICOLON, SPACE or TAB", f.CSVDelimiter)
	}
	rows := csv.NewReader(in)
	rows.Comma, rows.FieldsPerRecord, rows.LazyQuotes = comma, -1, true
	header := f.CSVHeaders
	if f.CSVHeaderLocation != "GIVEN" {
		first, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrong("Reading the CSV header: %s", err)
		}
		header = first
	}
	seen := map[string]bool{}
	for _, name := range header {
		if seen[name] {
			return wrong("CSV headers cannot contain duplicates.")
		}
		seen[name] = true
	}
	if n := len(strings.Join(header, ",")); n > maxHeader {
		return wrong("The CSV header has %d bytes, the maximum is %d", n, maxHeader)
	}
	return readRows(rows, header, fn)
}

// readRows calls fn for the rows after the header.
func readRows(rows *csv.Reader, header []string, fn func(Item) error) error {
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrong("Reading CSV: %s", err)
		}
		o := value.NewObject(len(header))
		for i, name := range header {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			o.Set(name, cell)
		}
		if err := fn(Item{Value: o}); err != nil {
			return err
		}
	}
}

// beginsArray reports whether the first character after white space is a bracket.
func beginsArray(text *bufio.Reader) bool {
	for {
		b, err := text.Peek(1)
		if err != nil || !strings.ContainsRune(" \t\r\n", rune(b[0])) {
			return err == nil && b[0] == '['
		}
		_, _ = text.Discard(1)
	}
}

// readJSON reads the elements of the array, or the members of the object, to which a JSON pointer points.
func readJSON(in io.Reader, f *Format, fn func(Item) error) error {
	pointer := f.ItemsPointer
	if f.ItemsPath != "" {
		text := bufio.NewReader(in)
		in = text
		if !beginsArray(text) {
			pointer = f.ItemsPath
		}
	}
	dec := json.NewDecoder(in)
	dec.UseNumber()
	for _, key := range strings.Split(pointer, "/")[1:] {
		if err := descend(dec, pointerKey(key)); err != nil {
			return wrong("ItemsPointer %s: %s", pointer, err)
		}
	}
	open, err := dec.Token()
	if err != nil {
		return wrong("The file is not JSON: %s", err)
	}
	if open != json.Delim('[') && open != json.Delim('{') {
		return wrong("The items are neither an array nor an object")
	}
	for dec.More() {
		it, err := member(dec, open == json.Delim('{'))
		if err != nil {
			return wrong("The file is not JSON: %s", err)
		}
		if err := fn(it); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return wrong("The file is not JSON: %s", err)
	}
	return nil
}

// member reads the next element of an array, or the next member of an object if keyed is set.
func member(dec *json.Decoder, keyed bool) (it Item, err error) {
	if keyed {
		key, err := dec.Token()
		if err != nil {
			return it, err
		}
		it.Key, _ = key.(string)
		it.Keyed = true
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return it, err
	}
	it.Value, err = value.Parse(raw)
	return it, err
}

// pointerKey unescapes a part of a JSON pointer (RFC 6901, section 4).
func pointerKey(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
}

// descend moves the decoder to the value of a key in the next object.
func descend(dec *json.Decoder, key string) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return wrong("no object with the key %q", key)
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
	return wrong("key %q not found", key)
}
