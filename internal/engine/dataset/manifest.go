package dataset

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// File is where a manifest says that items are. Format is nil where the manifest does not tell it.
type File struct {
	Bucket, Key string
	Format      *Format
}

// maxManifest bounds a manifest.json, in bytes: it has one line for each file of the inventory.
const maxManifest = 64 << 20

// Inventory reads the manifest.json of an S3 inventory: the files that it lists are CSV without a header, and their
// columns stand in the manifest.
func Inventory(in io.Reader) ([]File, error) {
	var m struct {
		DestinationBucket, FileFormat, FileSchema string
		Files                                     []struct{ Key string }
	}
	if err := json.NewDecoder(io.LimitReader(in, maxManifest)).Decode(&m); err != nil {
		return nil, wrong("The file is no manifest of an S3 inventory: %s", err)
	}
	if !strings.EqualFold(m.FileFormat, "CSV") {
		return nil, wrong("The inventory is in the format %q: configure it to be CSV", m.FileFormat)
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

// Athena reads the manifest that Athena's UNLOAD leaves: the address of one object a row.
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
			return nil, wrong("The file is no manifest of Athena: %s", err)
		}
		address, ok := strings.CutPrefix(strings.ToLower(row[0][:min(5, len(row[0]))]), "s3://")
		bucket, key, found := strings.Cut(row[0][min(5, len(row[0])):], "/")
		if !ok || address != "" || !found || bucket == "" || key == "" {
			return nil, wrong("The file is no manifest of Athena: %q is not the address of an object", row[0])
		}
		files = append(files, File{Bucket: bucket, Key: key})
	}
}
