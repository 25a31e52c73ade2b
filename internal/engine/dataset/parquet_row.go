package dataset

import (
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/rayorch/rayorch/internal/value"
)

// cursor reads one row. For each leaf of the schema, it has the values that have not been read yet. The definition level of a value is the
// number of optional and repeated fields above it that exist; its repetition level is the depth of the list that it continues.
type cursor map[int][]parquet.Value

func newCursor(row parquet.Row) cursor {
	c := cursor{}
	row.Range(func(column int, values []parquet.Value) bool {
		c[column] = values
		return true
	})
	return c
}

// levels returns the levels of the next value of a column's first leaf. ok is false if there is none.
func (c cursor) levels(column *parquet.Column) (repetition, definition int, ok bool) {
	for !column.Leaf() {
		inner := column.Columns()
		if len(inner) == 0 {
			return 0, 0, false
		}
		column = inner[0]
	}
	left := c[column.Index()]
	if len(left) == 0 {
		return 0, 0, false
	}
	return left[0].RepetitionLevel(), left[0].DefinitionLevel(), true
}

// skip skips the value that represents a missing field in each leaf of the column.
func (c cursor) skip(column *parquet.Column) {
	if !column.Leaf() {
		for _, inner := range column.Columns() {
			c.skip(inner)
		}
		return
	}
	if left := c[column.Index()]; len(left) > 0 {
		c[column.Index()] = left[1:]
	}
}

// read returns the column's next value. repetition and definition are the levels of the enclosing field.
func (c cursor) read(column *parquet.Column, repetition, definition int) any {
	_, there, ok := c.levels(column)
	switch {
	case !ok:
		return nil
	case column.Optional():
		if there <= definition {
			c.skip(column)
			return nil
		}
		definition++
	case column.Repeated():
		return c.list(column, repetition+1, definition+1)
	}
	return c.present(column, repetition, definition)
}

// list reads the elements of a repeated column: the list ends at the first value whose repetition level is lower than the column's.
func (c cursor) list(column *parquet.Column, repetition, definition int) []any {
	list := []any{}
	if _, there, _ := c.levels(column); there < definition {
		c.skip(column)
		return list
	}
	for {
		list = append(list, c.present(column, repetition, definition))
		if next, _, ok := c.levels(column); !ok || next < repetition {
			return list
		}
	}
}

// present returns a value that exists: a leaf, a list, a map or an object.
func (c cursor) present(column *parquet.Column, repetition, definition int) any {
	if column.Leaf() {
		left := c[column.Index()]
		c[column.Index()] = left[1:]
		return leaf(column.Type(), left[0])
	}
	inner := column.Columns()
	if len(inner) == 1 && inner[0].Repeated() {
		switch logical(column.Type()).(type) {
		case *format.ListType:
			return c.elements(inner[0], repetition, definition)
		case *format.MapType:
			return c.entries(inner[0], repetition, definition)
		}
	}
	o := value.NewObject(len(inner))
	for _, field := range inner {
		o.Set(field.Name(), c.read(field, repetition, definition))
	}
	return o
}

// elements returns a list without the group of one field in which Parquet wraps each element.
func (c cursor) elements(repeated *parquet.Column, repetition, definition int) any {
	list, _ := c.read(repeated, repetition, definition).([]any)
	if repeated.Leaf() || len(repeated.Columns()) != 1 {
		return list
	}
	for i := range list {
		if o, ok := list[i].(*value.Object); ok && o.Len() == 1 {
			_, list[i] = o.At(0)
		}
	}
	return list
}

// entries converts a map to an object if its keys are strings, and else to a list of pairs.
func (c cursor) entries(repeated *parquet.Column, repetition, definition int) any {
	list, _ := c.read(repeated, repetition, definition).([]any)
	o := value.NewObject(len(list))
	for _, entry := range list {
		pair, ok := entry.(*value.Object)
		if !ok || pair.Len() != 2 {
			return list
		}
		_, k := pair.At(0)
		_, v := pair.At(1)
		key, ok := k.(string)
		if !ok {
			return list
		}
		o.Set(key, v)
	}
	return o
}

func logical(t parquet.Type) format.LogicalTypeValue {
	if l := t.LogicalType(); l != nil {
		return l.Value
	}
	return nil
}
