package catalog

import (
	"cmp"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// Activity is a queue of tasks that workers poll. It never changes once it is handed out.
type Activity struct {
	ARN        string    `json:"-"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
	Encryption string    `json:"encryption"`
	Tags       []Tag     `json:"tags,omitempty"`
}

// CreateActivity makes an activity; the same name again gives the one that is there.
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

// putActivity writes first: what readers see is on disk.
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

// DeleteActivity removes an activity. Deleting what is not there is no error.
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

// Activities lists activities by name, those after a name, at most limit.
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
