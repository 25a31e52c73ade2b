package engine

import (
	"context"
	"io"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/value"
)

// Objects is an object store with buckets: S3, or a directory instead of it (package objects).
type Objects interface {
	// Get opens an object for reading.
	Get(ctx context.Context, bucket, key string) (io.ReadCloser, error)
	// Put writes an object, or replaces it.
	Put(ctx context.Context, bucket, key string, body io.ReadSeeker) error
	// List calls fn for the objects whose keys begin with prefix, in the order of their keys.
	List(ctx context.Context, bucket, prefix string, fn func(Object) error) error
}

// VersionedObjects is an object store that keeps earlier versions of its objects.
type VersionedObjects interface {
	GetVersion(ctx context.Context, bucket, key, version string) (io.ReadCloser, error)
}

// Object describes an object in a list.
type Object struct {
	Key, ETag, StorageClass string
	Size                    int64
	Modified                time.Time
}

// items calls fn for each item of the map run. Items from an ItemReader are read one by one, and are not all in memory.
func (d *mapDriver) items(fn func(interp.MapItem) error) error {
	if len(d.spec.Reader) > 0 {
		return d.readItems(fn)
	}
	v, err := value.Parse(d.spec.Items)
	if err != nil {
		return err
	}
	items := stateItems(v)
	d.mu.Lock()
	d.total = int64(len(items))
	d.mu.Unlock()
	for _, it := range items {
		if err := fn(it); err != nil {
			return err
		}
	}
	return nil
}

// fromState is the value of $$.Map.Item.Source for items from the state's input.
const fromState = "STATE_DATA"

// stateItems returns the elements of an array, or the members of an object.
func stateItems(v any) []interp.MapItem {
	var items []interp.MapItem
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			items = append(items, interp.MapItem{Source: fromState, Value: e})
		}
	case *value.Object:
		for i := range v.Len() {
			k, e := v.At(i)
			items = append(items, interp.MapItem{Keyed: true, Key: k, Source: fromState, Value: e})
		}
	}
	return items
}
