package dataset

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// File is a file that a manifest names. Format is nil if the manifest does not specify it.
type File struct {
	Bucket, Key string
	Format      *Format
}

// maxManifest is the maximum size of a manifest, in bytes. It has a line for each file.
const maxManifest = 64 << 20

// Inventory reads the manifest.json of an S3 Inventory. The files that it names are CSV without a header; the manifest has the names of
// their columns.
func Inventory(in io.Reader) ([]File, error) {
	var m struct {
		DestinationBucket, FileFormat, FileSchema string
		Files                                     []struct{ Key string }
	}
	if err := json.NewDecoder(io.LimitReader(in, maxManifest)).Decode(&m); err != nil {
		return nil, wrong("The file is not the manifest of an S3 Inventory: %s", err)
	}
	if !strings.EqualFold(m.FileFormat, "CSV") {
		return nil, wrong("The format of the S3 Inventory is %q: configure CSV", m.FileFormat)
	}
	columns := strings.Split(m.FileSchema, ",")
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i])
	}
	bucket := m.DestinationBucket[strings.LastIndexByte(m.DestinationBucket, ':')+1:] // an ARN
	files := make([]File, len(m.Files))
	for i, f := range m.Files {
		files[i] = File{bucket, f.Key, &Format{InputType: "CSV", CSVHeaderLocation: "GIVEN", CSVHeaders: columns}}
	}
	return files, nil
}

// Athena reads the manifest that UNLOAD of Amazon Athena writes: a row with an s3:// URI for each object.
func Athena(in io.Reader) ([]File, error) {
	rows := csv.NewReader(io.LimitReader(in, maxManifest))
	rows.FieldsPerRecord = -1
	var files []File
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, wrong("The file is not a manifest of Athena: %s", err)
		}
		address, ok := strings.CutPrefix(strings.ToLower(row[0][:min(5, len(row[0]))]), "s3://")
		bucket, key, found := strings.Cut(row[0][min(5, len(row[0])):], "/")
		if !ok || address != "" || !found || bucket == "" || key == "" {
			return nil, wrong("The file is not a manifest of Athena: %q is not the s3:// URI of an object", row[0])
		}
		files = append(files, File{Bucket: bucket, Key: key})
	}
}
