package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/dataset"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// itemReader is an ItemReader whose expressions have been evaluated.
type itemReader struct {
	Resource   string
	Parameters struct {
		Bucket, Key, Prefix, StartAfter, VersionID string
	}
	Config struct {
		dataset.Format
		Transformation, ManifestType string
		MaxItems                     int64
	} `json:"ReaderConfig"`
}

// errEnough ends the reading when MaxItems items were read.
var errEnough = errors.New("MaxItems items were read")

// unreadable returns a States.ItemReaderFailed: the source is missing or invalid.
func unreadable(format string, args ...any) error {
	return &failed{stepfn.StatesItemReaderFailed, fmt.Sprintf(format, args...)}
}

// readItems calls fn for the items of the ItemReader, at most MaxItems of them.
func (d *mapDriver) readItems(fn func(interp.MapItem) error) error {
	var r itemReader
	if err := json.Unmarshal(d.spec.Reader, &r); err != nil {
		return unreadable("The ItemReader is invalid: %s", err)
	}
	if d.e.c.Objects == nil {
		return unreadable("%s cannot be read: no object store is configured", r.Resource)
	}
	left := r.Config.MaxItems
	if left < 0 {
		return unreadable("field MaxItems must be positive")
	}
	err := d.readFrom(&r, func(it interp.MapItem) error {
		if err := fn(it); err != nil {
			return err
		}
		if left--; left == 0 { // MaxItems 0 means no limit: then left is never 0 here
			return errEnough
		}
		return nil
	})
	var bad *dataset.Error
	switch {
	case errors.Is(err, errEnough):
		return nil
	case errors.As(err, &bad):
		return unreadable("%s", bad)
	}
	return err
}

// readFrom reads the items of the reader's source: a list of objects, a manifest that names files, or a file.
func (d *mapDriver) readFrom(r *itemReader, fn func(interp.MapItem) error) error {
	p, c := &r.Parameters, &r.Config
	switch {
	case strings.HasSuffix(r.Resource, ":listObjectsV2"):
		return d.readList(r, fn)
	case c.ManifestType == "ATHENA_DATA":
		return d.readManifest(r, dataset.Athena, fn)
	case c.ManifestType == "S3_INVENTORY", c.InputType == "MANIFEST":
		return d.readManifest(r, dataset.Inventory, fn)
	}
	return d.readFile(dataset.File{Bucket: p.Bucket, Key: p.Key}, p.VersionID, &c.Format, fn)
}

// readList calls fn with the metadata of each object, or with the items in each object if the transformation is LOAD_AND_FLATTEN.
func (d *mapDriver) readList(r *itemReader, fn func(interp.MapItem) error) error {
	p := &r.Parameters
	var taken error // an error of fn or of reading an object, as opposed to one of the list
	err := d.e.c.Objects.List(d.ctx, p.Bucket, p.Prefix, func(o Object) error {
		switch {
		case o.Key <= p.StartAfter:
		case r.Config.Transformation != "LOAD_AND_FLATTEN":
			taken = fn(interp.MapItem{Source: "s3://" + p.Bucket, Value: metadata(&o)})
		case o.Size == 0 && strings.HasSuffix(o.Key, "/"): // an empty object that the AWS console creates for a folder
		default:
			taken = d.readFile(dataset.File{Bucket: p.Bucket, Key: o.Key}, "", &r.Config.Format, fn)
		}
		return taken
	})
	if err != nil && taken == nil {
		return unreadable("Failed to list %s in %s: %s", p.Prefix, p.Bucket, err)
	}
	return taken
}

func metadata(o *Object) *value.Object {
	return value.Obj("Etag", o.ETag, "Key", o.Key, "LastModified", value.Int(o.Modified.Unix()), "Size", value.Int(o.Size),
		"StorageClass", o.StorageClass)
}

// readManifest reads all files that a manifest names. The reader's CSVHeaders take precedence over those of the manifest.
func (d *mapDriver) readManifest(r *itemReader, list func(io.Reader) ([]dataset.File, error),
	fn func(interp.MapItem) error) error {
	body, err := d.open(r.Parameters.Bucket, r.Parameters.Key, r.Parameters.VersionID)
	if err != nil {
		return err
	}
	files, err := list(body)
	_ = body.Close()
	if err != nil {
		return err
	}
	for _, f := range files {
		format := &r.Config.Format
		if f.Format != nil && r.Config.CSVHeaderLocation == "" {
			format = f.Format
			format.CSVDelimiter = r.Config.CSVDelimiter
		} else if r.Config.InputType == "MANIFEST" {
			format.InputType = "CSV"
		}
		if err := d.readFile(f, "", format, fn); err != nil {
			return err
		}
	}
	return nil
}

// readFile calls fn for the items in a file. An empty version is the current one.
func (d *mapDriver) readFile(f dataset.File, version string, format *dataset.Format, fn func(interp.MapItem) error) error {
	body, err := d.open(f.Bucket, f.Key, version)
	if err != nil {
		return err
	}
	defer body.Close()
	source := "s3://" + f.Bucket + "/" + f.Key
	return dataset.Read(body, format, func(it dataset.Item) error {
		return fn(interp.MapItem{Keyed: it.Keyed, Key: it.Key, Source: source, Value: it.Value})
	})
}

// open opens an object. An empty version is the current one.
func (d *mapDriver) open(bucket, key, version string) (body io.ReadCloser, err error) {
	if version == "" {
		body, err = d.e.c.Objects.Get(d.ctx, bucket, key)
	} else if kept, ok := d.e.c.Objects.(VersionedObjects); ok {
		body, err = kept.GetVersion(d.ctx, bucket, key, version)
	} else {
		return nil, unreadable("VersionId %q cannot be read: the object store keeps no versions. Omit VersionId, or use S3", version)
	}
	if err != nil {
		return nil, unreadable("Failed to read %s from %s: %s", key, bucket, err)
	}
	return body, nil
}
