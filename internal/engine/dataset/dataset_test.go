package dataset_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/rayorch/rayorch/internal/engine/dataset"
	"github.com/rayorch/rayorch/internal/value"
)

// read returns the items of a file, one per line. An item with a key is preceded by the key.
func read(file []byte, f dataset.Format) (string, error) {
	var lines []string
	err := dataset.Read(bytes.NewReader(file), &f, func(it dataset.Item) error {
		line := value.Text(it.Value)
		if it.Keyed {
			line = it.Key + "=" + line
		}
		lines = append(lines, line)
		return nil
	})
	return strings.Join(lines, "\n"), err
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t *testing.T, text string) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll([]byte(text), nil)
}

func TestText(t *testing.T) {
	for name, c := range map[string]struct {
		file   []byte
		format dataset.Format
		want   string
	}{
		"csv":           {[]byte("name,n\na,1\nb,2\n"), dataset.Format{InputType: "CSV"}, "{\"name\":\"a\",\"n\":\"1\"}\n{\"name\":\"b\",\"n\":\"2\"}"},
		"csv, given":    {[]byte("a,1\n"), dataset.Format{InputType: "CSV", CSVHeaderLocation: "GIVEN", CSVHeaders: []string{"x", "y"}}, `{"x":"a","y":"1"}`},
		"csv, ignored":  {[]byte("x\na\n"), dataset.Format{InputType: "CSV", CSVHeaders: []string{"y"}}, `{"x":"a"}`},
		"csv, quoted":   {[]byte("a|b\n\"1|2\"|\"3\n4\"\n"), dataset.Format{InputType: "CSV", CSVDelimiter: "PIPE"}, `{"a":"1|2","b":"3\n4"}`},
		"csv, uneven":   {[]byte("a;b\n1\n1;2;3\n"), dataset.Format{InputType: "CSV", CSVDelimiter: "SEMICOLON"}, "{\"a\":\"1\",\"b\":\"\"}\n{\"a\":\"1\",\"b\":\"2\"}"},
		"csv, tabs":     {[]byte("a\tb\n1\t2"), dataset.Format{InputType: "CSV", CSVDelimiter: "TAB"}, `{"a":"1","b":"2"}`},
		"csv, spaces":   {[]byte("a b\n1 2"), dataset.Format{InputType: "CSV", CSVDelimiter: "SPACE"}, `{"a":"1","b":"2"}`},
		"csv, BOM":      {[]byte("\ufeffa\n1"), dataset.Format{InputType: "CSV"}, `{"a":"1"}`},
		"csv, empty":    {nil, dataset.Format{InputType: "CSV"}, ""},
		"csv, gzip":     {gzipped(t, "a\n1\n"), dataset.Format{InputType: "CSV"}, `{"a":"1"}`},
		"json lines":    {[]byte("{\"n\":1}\n\n 2 \r\n"), dataset.Format{InputType: "JSONL"}, "{\"n\":1}\n2"},
		"lines, zstd":   {zstded(t, "1\n2"), dataset.Format{InputType: "JSONL"}, "1\n2"},
		"json":          {[]byte(`[1,"two",{"three":3.0}]`), dataset.Format{InputType: "JSON"}, "1\n\"two\"\n{\"three\":3.0}"},
		"json, object":  {[]byte(`{"a":1,"":null}`), dataset.Format{InputType: "JSON"}, "a=1\n=null"},
		"json, pointer": {[]byte(`{"skip":[0],"a/b":{"~":[5]}}`), dataset.Format{InputType: "JSON", ItemsPointer: "/a~1b/~0"}, "5"},
		"json, none":    {[]byte(`[]`), dataset.Format{InputType: "JSON"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(c.file, c.format)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

func TestInvalidFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		format dataset.Format
	}{
		"type":           {"", dataset.Format{InputType: "XML"}},
		"truncated":      {"[1,", dataset.Format{InputType: "JSON"}},
		"no end":         {"[1", dataset.Format{InputType: "JSON"}},
		"no array":       {"1", dataset.Format{InputType: "JSON"}},
		"missing key":    {`{"a":1}`, dataset.Format{InputType: "JSON", ItemsPointer: "/b"}},
		"into a string":  {`{"a":"x"}`, dataset.Format{InputType: "JSON", ItemsPointer: "/a/b"}},
		"a line":         {"{\n", dataset.Format{InputType: "JSONL"}},
		"long line":      {strings.Repeat(" ", dataset.MaxItemBytes+1), dataset.Format{InputType: "JSONL"}},
		"delimiter":      {"a", dataset.Format{InputType: "CSV", CSVDelimiter: "DOT"}},
		"long header":    {strings.Repeat("a,", 6000), dataset.Format{InputType: "CSV"}},
		"short gzip":     {"\x1f\x8b\x08", dataset.Format{InputType: "CSV"}},
		"broken gzip":    {string(gzipped(t, "a\n1\n")[:20]), dataset.Format{InputType: "CSV"}},
		"parquet, empty": {"", dataset.Format{InputType: "PARQUET"}},
		"parquet, text":  {"PAR1 this is some text PAR1", dataset.Format{InputType: "PARQUET"}},
		"long footer":    {"PAR1aaaa\xff\xff\xff\x7fPAR1", dataset.Format{InputType: "PARQUET"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read([]byte(c.file), c.format)
			if bad := new(dataset.Error); !errors.As(err, &bad) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// kinds has the rows of the files kinds-*.parquet, which pyarrow 26 wrote, with a column for each type that can be converted to JSON.
const kinds = `{"name":"a","n":1,"u":4294967295,"f":0.1,"d":1.0E300,"ok":true,"day":"2026-11-23",` +
	`"at":"2026-11-23T01:02:03.4Z","local":"2026-11-23T01:02:03","price":-12.3,"bytes":"//4=","list":[1,null,3],` +
	`"deep":[["x"],[]],"map":{"k":1,"l":null},"s":{"a":1,"b":[{"c":"z"}]}}
{"name":null,"n":-2,"u":0,"f":null,"d":2.5,"ok":false,"day":null,"at":null,"local":null,"price":0.05,"bytes":"text",` +
	`"list":[],"deep":null,"map":{},"s":{"a":null,"b":null}}`

func TestParquet(t *testing.T) {
	for _, compression := range []string{"none", "snappy", "gzip", "zstd", "brotli", "lz4"} {
		t.Run(compression, func(t *testing.T) {
			got, err := read(file(t, "kinds-"+compression), dataset.Format{InputType: "PARQUET"})
			if diff := cmp.Diff(kinds, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// Older writers use other types for lists and times, and do not mark strings as such.
func TestOldParquet(t *testing.T) {
	got, err := read(file(t, "old"), dataset.Format{InputType: "PARQUET"})
	if diff := cmp.Diff(`{"at":"2026-11-23T01:02:03Z","list":[1,2]}`, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestParquetRowGroups(t *testing.T) {
	got, err := read(file(t, "rows"), dataset.Format{InputType: "PARQUET"})
	if lines := strings.Split(got, "\n"); len(lines) != 1000 || lines[999] != `{"n":999}` || err != nil {
		t.Errorf("%d rows, %v", len(lines), err)
	}
}

// An error of the function that gets the items ends the reading, and is returned unchanged.
func TestStop(t *testing.T) {
	enough := errors.New("enough")
	for kind, b := range map[string][]byte{
		"PARQUET": file(t, "rows"), "JSON": []byte("[1,2]"), "JSONL": []byte("1\n2"), "CSV": []byte("a\n1\n2"),
	} {
		n := 0
		err := dataset.Read(bytes.NewReader(b), &dataset.Format{InputType: kind}, func(dataset.Item) error {
			n++
			return enough
		})
		if !errors.Is(err, enough) || n != 1 {
			t.Errorf("%s: %d items, %v", kind, n, err)
		}
	}
}

func TestInventory(t *testing.T) {
	files, err := dataset.Inventory(strings.NewReader(`{"sourceBucket":"s","destinationBucket":"arn:aws:s3:::d",
		"fileFormat":"CSV","fileSchema":"Bucket, Key, Size","files":[{"key":"x/1.csv.gz","size":2}]}`))
	want := []dataset.File{{Bucket: "d", Key: "x/1.csv.gz",
		Format: &dataset.Format{InputType: "CSV", CSVHeaderLocation: "GIVEN", CSVHeaders: []string{"Bucket", "Key", "Size"}}}}
	if diff := cmp.Diff(want, files); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, text := range []string{"", "[]", `{"fileFormat":"ORC"}`} {
		if _, err := dataset.Inventory(strings.NewReader(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestAthena(t *testing.T) {
	files, err := dataset.Athena(strings.NewReader("s3://b/x/1\nS3://b/y\n"))
	if diff := cmp.Diff([]dataset.File{{Bucket: "b", Key: "x/1"}, {Bucket: "b", Key: "y"}}, files); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, text := range []string{"s3://b\n", "http://x/y", "s3:///k", "s3", `"`} {
		if _, err := dataset.Athena(strings.NewReader(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".parquet")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
