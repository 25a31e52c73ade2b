package catalog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// docKind is the kind of all documents of the catalog. It is a single kind, so that a machine and its version change in one commit.
// The names of the documents are m/NAME, v/NAME/NUMBER, a/NAME/ALIAS and t/NAME (activities); NAME has no slash.
const docKind = "catalog"

// recordFormat is the format of the records that this release writes. It reads all earlier formats and rejects later ones.
const recordFormat = 1

// envelope is the outermost JSON object of each record.
type envelope struct {
	Format int             `json:"format"`
	Record json.RawMessage `json:"record"`
}

func encode(name string, record any) store.Doc {
	raw, err := json.Marshal(record)
	if err != nil {
		panic(err) // records are plain structs of strings, numbers and times
	}
	whole, _ := json.Marshal(envelope{recordFormat, raw})
	return store.Doc{Name: name, Value: whole}
}

// decode decodes a record. It rejects one of a later format, because writing it back would lose the fields that this release does not know.
func decode(d store.Doc, record any) error {
	var e envelope
	if err := json.Unmarshal(d.Value, &e); err != nil {
		return fmt.Errorf("record %s: %w", d.Name, err)
	}
	if e.Format > recordFormat {
		return fmt.Errorf("record %s has format %d, but this release supports formats up to %d: upgrade rayorch", d.Name, e.Format, recordFormat)
	}
	return json.Unmarshal(e.Record, record)
}

func machineDoc(m *Machine) store.Doc { return encode("m/"+m.Name, m) }

// versionName returns the name of a version's document. It pads the number, so that names sort by number.
func versionName(machine string, n int) string { return fmt.Sprintf("v/%s/%010d", machine, n) }

func versionDoc(machine string, v *Version) store.Doc {
	return encode(versionName(machine, v.Number), v)
}

func aliasDoc(machine string, a *Alias) store.Doc { return encode("a/"+machine+"/"+a.Name, a) }

func activityDoc(a *Activity) store.Doc { return encode("t/"+a.Name, a) }

// load reads all records. It reads the machines first, because versions and aliases belong to them.
func (c *Catalog) load() error {
	for _, part := range []struct {
		prefix string
		take   func(store.Doc) error
	}{{"m/", c.loadMachine}, {"v/", c.loadVersion}, {"a/", c.loadAlias}, {"t/", c.loadActivity}} {
		docs, err := c.cfg.Docs.Docs(docKind, part.prefix, "", 0)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := part.take(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadMachine adds a stored machine. Its versions and aliases are added by loadVersion and loadAlias. ARNs are not stored, because
// they contain the region and the account of the configuration.
func (c *Catalog) loadMachine(d store.Doc) error {
	m := &Machine{versions: map[int]*Version{}, aliases: map[string]*Alias{}}
	if err := decode(d, m); err != nil {
		return err
	}
	m.ARN = c.arn(stepfn.KindMachine, m.Name)
	c.machines[m.Name] = m
	return nil
}

// owner returns the machine to which a v/ or a/ record belongs; nil if there is none.
func (c *Catalog) owner(name string) *Machine {
	machine, _, _ := strings.Cut(name[2:], "/")
	return c.machines[machine]
}

func (c *Catalog) loadVersion(d store.Doc) error {
	v := &Version{}
	if err := decode(d, v); err != nil {
		return err
	}
	m := c.owner(d.Name)
	if m == nil {
		return fmt.Errorf("record %s belongs to no state machine", d.Name)
	}
	v.ARN = m.ARN + ":" + strconv.Itoa(v.Number)
	m.versions[v.Number] = v
	return nil
}

func (c *Catalog) loadAlias(d store.Doc) error {
	a := &Alias{}
	if err := decode(d, a); err != nil {
		return err
	}
	m := c.owner(d.Name)
	if m == nil {
		return fmt.Errorf("record %s belongs to no state machine", d.Name)
	}
	a.ARN = m.ARN + ":" + a.Name
	m.aliases[a.Name] = a
	return nil
}

func (c *Catalog) loadActivity(d store.Doc) error {
	a := &Activity{}
	if err := decode(d, a); err != nil {
		return err
	}
	a.ARN = c.arn(stepfn.KindActivity, a.Name)
	c.activities[a.Name] = a
	return nil
}
