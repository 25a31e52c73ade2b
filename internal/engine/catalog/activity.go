package catalog

import (
	"cmp"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// Activity is a queue of tasks that workers poll. It is immutable: a change replaces it.
type Activity struct {
	ARN        string    `json:"-"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
	Encryption string    `json:"encryption"`
	Tags       []Tag     `json:"tags,omitempty"`
}

// CreateActivity creates an activity, or returns the existing one with the same name.
func (c *Catalog) CreateActivity(name, encryption string, tags []Tag) (*Activity, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	arn := c.arn(stepfn.KindActivity, name)
	if old := c.activity(name); old != nil {
		if old.Encryption != encryption {
			return nil, errorf("ActivityAlreadyExists", "Activity Already Exists: '%s'", arn)
		}
		return old, nil
	}
	if len(tags) > maxTags {
		return nil, errTooManyTags(arn)
	}
	a := &Activity{ARN: arn, Name: name, Created: c.now(), Encryption: encryption, Tags: mergeTags(nil, tags)}
	return a, c.putActivity(a)
}

// putActivity stores an activity. It writes to disk first, so that readers never see a change that a crash can lose.
func (c *Catalog) putActivity(a *Activity) error {
	if err := c.cfg.Docs.PutDocs(docKind, activityDoc(a)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.activities[a.Name] = a
	return nil
}

func (c *Catalog) activity(name string) *Activity {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.activities[name]
}

// Activity finds an activity.
func (c *Catalog) Activity(arn string) (*Activity, error) {
	a, err := ExpectARN(arn, stepfn.KindActivity)
	if err != nil {
		return nil, err
	}
	if act := c.activity(a.Name); act != nil && c.local(a) && a.Qualifier == "" {
		return act, nil
	}
	return nil, errorf("ActivityDoesNotExist", "Activity Does Not Exist: '%s'", arn)
}

// DeleteActivity deletes an activity. It is not an error if there is none.
func (c *Catalog) DeleteActivity(arn string) error {
	a, err := ExpectARN(arn, stepfn.KindActivity)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.activity(a.Name) == nil || !c.local(a) {
		return nil
	}
	if err := c.cfg.Docs.PutDocs(docKind, store.Doc{Name: "t/" + a.Name}); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.activities, a.Name)
	return nil
}

// Activities returns a page of the activities, sorted by name: those with a name after the given one, at most limit of them. more reports
// whether others follow.
func (c *Catalog) Activities(after string, limit int) (page []*Activity, more bool) {
	c.mu.RLock()
	all := make([]*Activity, 0, len(c.activities))
	for _, a := range c.activities {
		all = append(all, a)
	}
	c.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Activity) int { return cmp.Compare(a.Name, b.Name) })
	return pageOf(all, func(a *Activity) bool { return a.Name > after }, limit)
}
