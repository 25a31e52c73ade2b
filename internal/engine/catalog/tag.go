package catalog

import (
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// Tag is a tag of a state machine or an activity.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Tag returns the value of the machine's tag with a key; empty if there is none.
func (m *Machine) Tag(key string) string {
	for _, t := range m.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

func errTooManyTags(arn string) error { return errorf("TooManyTags", "Too many tags: '%s'", arn) }

// mergeTags returns the old tags with added ones, which replace tags with the same key.
func mergeTags(old, added []Tag) []Tag {
	out := append([]Tag(nil), old...)
	for _, t := range added {
		if i := slices.IndexFunc(out, func(o Tag) bool { return o.Key == t.Key }); i >= 0 {
			out[i] = t
		} else {
			out = append(out, t)
		}
	}
	return out
}

const noResource = "ResourceNotFound"

func errNoResource(arn string) error { return errorf(noResource, "Resource not found: '%s'", arn) }

// Tags returns a resource's tags. The ARN may be that of a version, which never has tags.
func (c *Catalog) Tags(arn string) ([]Tag, error) {
	if _, v, err := c.Machine(arn); err == nil && v != nil {
		return nil, nil
	}
	m, a, err := c.tagged(arn)
	if err != nil {
		return nil, err
	}
	if m != nil {
		return m.Tags, nil
	}
	return a.Tags, nil
}

// tagged returns the machine or the activity with an ARN; the other result is nil.
func (c *Catalog) tagged(arn string) (*Machine, *Activity, error) {
	a, err := ExpectARN(arn, stepfn.KindMachine, stepfn.KindActivity)
	if err != nil {
		return nil, nil, err
	}
	if c.local(a) && a.Qualifier == "" {
		if m := c.machine(a.Name); m != nil && a.Kind == stepfn.KindMachine {
			return m, nil, nil
		}
		if act := c.activity(a.Name); act != nil && a.Kind == stepfn.KindActivity {
			return nil, act, nil
		}
	}
	return nil, nil, errNoResource(arn)
}

// AddTags adds tags or changes their values.
func (c *Catalog) AddTags(arn string, tags []Tag) error {
	for _, t := range tags {
		if strings.HasPrefix(t.Key, "aws:") {
			return errorf("AccessDeniedException", "Caller is an end user and not allowed to mutate system tags")
		}
	}
	return c.changeTags(arn, func(old []Tag) []Tag { return mergeTags(old, tags) })
}

// RemoveTags removes tags by their keys.
func (c *Catalog) RemoveTags(arn string, keys []string) error {
	return c.changeTags(arn, func(old []Tag) []Tag {
		return slices.DeleteFunc(slices.Clone(old), func(t Tag) bool { return slices.Contains(keys, t.Key) })
	})
}

// changeTags applies a change to a resource's tags. It checks the limit after the change, because replacing a value adds no tag.
func (c *Catalog) changeTags(arn string, change func([]Tag) []Tag) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	m, a, err := c.tagged(arn)
	if err != nil {
		return err
	}
	if a != nil {
		n := *a
		if n.Tags = change(a.Tags); len(n.Tags) > maxTags {
			return errTooManyTags(arn)
		}
		return c.putActivity(&n)
	}
	m = m.copy()
	if m.Tags = change(m.Tags); len(m.Tags) > maxTags {
		return errTooManyTags(arn)
	}
	return c.swap(m, machineDoc(m))
}
