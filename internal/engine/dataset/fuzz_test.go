package dataset_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rayorch/rayorch/internal/engine/dataset"
)

var errEnough = errors.New("enough")

// FuzzRead checks that Read does not panic, whatever the content of a file.
func FuzzRead(f *testing.F) {
	kinds := []string{"CSV", "JSON", "JSONL", "PARQUET"}
	for i, text := range []string{"a,b\n1,2\n", `{"a":[1,{"b":null}]}`, "1\n{}\n"} {
		f.Add([]byte(text), byte(i))
	}
	for _, name := range []string{"kinds-none", "old", "rows"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".parquet"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, byte(3))
	}
	f.Fuzz(func(_ *testing.T, file []byte, kind byte) {
		format := dataset.Format{InputType: kinds[int(kind)%len(kinds)], ItemsPointer: "/a"}
		n := 0 // a few bytes can represent very many empty rows
		_ = dataset.Read(bytes.NewReader(file), &format, func(dataset.Item) error {
			if n++; n > 1000 {
				return errEnough
			}
			return nil
		})
	})
}

// FuzzManifest checks that a manifest either names files or is rejected.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"destinationBucket":"b","fileFormat":"CSV","fileSchema":"Bucket","files":[{"key":"x"}]}`))
	f.Add([]byte("s3://b/x/1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if files, err := dataset.Athena(bytes.NewReader(file)); err == nil {
			for _, f := range files {
				if f.Bucket == "" || f.Key == "" {
					t.Errorf("incomplete name of an object: %+v", f)
				}
			}
		}
		_, _ = dataset.Inventory(bytes.NewReader(file))
	})
}
