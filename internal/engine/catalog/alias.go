package catalog

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// Route routes a share of the executions of an alias to a version.
type Route struct {
	VersionARN string `json:"version"`
	Weight     int    `json:"weight"` // in percent
}

// Alias is a name for one version, or for two versions with weights. It is immutable: a change replaces it.
type Alias struct {
	ARN         string    `json:"-"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Routes      []Route   `json:"routes"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

// pick returns the ARN of the version for a random number from 0 to 99.
func (a *Alias) pick(draw int) string {
	for _, r := range a.Routes {
		if draw < r.Weight {
			return r.VersionARN
		}
		draw -= r.Weight
	}
	return a.Routes[len(a.Routes)-1].VersionARN
}

func bracketed(items []string) string { return "[" + strings.Join(items, ", ") + "]" }

// aliasesOf returns the names of the aliases that refer to a version, sorted.
func (m *Machine) aliasesOf(versionARN string) []string {
	var names []string
	for _, a := range m.aliases {
		if slices.ContainsFunc(a.Routes, func(r Route) bool { return r.VersionARN == versionARN }) {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return names
}

// checkRoutes validates routes and returns the machine whose versions they name. All must be versions of the same machine.
func (c *Catalog) checkRoutes(routes []Route) (*Machine, error) {
	var arns, weights []string
	sum := 0
	for _, r := range routes {
		arns, weights = append(arns, r.VersionARN), append(weights, strconv.Itoa(r.Weight))
		sum += r.Weight
	}
	if len(arns) == 2 && arns[0] == arns[1] {
		return nil, errorf("ValidationException",
			"Routing configuration must contain distinct state machine version ARNs. Received: %s", bracketed(arns))
	}
	if sum != 100 {
		return nil, errorf("ValidationException",
			"Sum of routing configuration weights must equal 100. Received: %s", bracketed(weights))
	}
	var of *Machine
	for _, arn := range arns {
		m, v, err := c.Machine(arn)
		if err != nil || v == nil {
			return nil, errorf("ValidationException",
				"Routing configuration must contain state machine version ARNs. Received: %s", bracketed(arns))
		}
		if of != nil && of.Name != m.Name {
			return nil, errorf("ValidationException",
				"Routing configuration must contain state machine version ARNs for the same state machine. Received: %s", bracketed(arns))
		}
		of = m
	}
	return of, nil
}

// CreateAlias creates an alias, or returns the existing one with the same content.
func (c *Catalog) CreateAlias(name, description string, routes []Route) (*Alias, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	m, err := c.checkRoutes(routes)
	if err != nil {
		return nil, err
	}
	if old := m.aliases[name]; old != nil {
		if old.Description == description && slices.Equal(old.Routes, routes) {
			return old, nil
		}
		return nil, errorf("ConflictException",
			"Failed to create alias because an alias with the same name and a different routing configuration already exists.")
	}
	if len(m.aliases) >= maxAliases {
		return nil, errorf("ServiceQuotaExceededException", "Alias limit exceeded: %d aliases of %s", maxAliases, m.ARN)
	}
	now := c.now()
	a := &Alias{ARN: m.ARN + ":" + name, Name: name, Description: description, Routes: routes, Created: now, Updated: now}
	return a, c.putAlias(m, a)
}

func (c *Catalog) putAlias(m *Machine, a *Alias) error {
	m = m.copy()
	m.aliases[a.Name] = a
	return c.swap(m, aliasDoc(m.Name, a))
}

// findAlias finds an alias by its ARN.
func (c *Catalog) findAlias(arn string) (*Machine, *Alias, error) {
	a, err := ExpectARN(arn, stepfn.KindMachine)
	if err != nil {
		return nil, nil, err
	}
	if m := c.machine(a.Name); m != nil && c.local(a) {
		if alias := m.aliases[a.Qualifier]; alias != nil {
			return m, alias, nil
		}
	}
	return nil, nil, errNoResource(arn)
}

// Alias returns the alias with an ARN.
func (c *Catalog) Alias(arn string) (*Alias, error) {
	_, a, err := c.findAlias(arn)
	return a, err
}

// UpdateAlias changes an alias; nil fields stay as they are.
func (c *Catalog) UpdateAlias(arn string, description *string, routes []Route) (*Alias, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	m, old, err := c.findAlias(arn)
	var gone *Error
	if errors.As(err, &gone) && gone.Code == noResource { // UpdateStateMachineAlias has another text than the other actions
		return nil, errorf(noResource, "Request references a resource that does not exist.")
	}
	if err != nil {
		return nil, err
	}
	a := *old
	a.Updated = c.now()
	if description != nil {
		a.Description = *description
	}
	if routes != nil {
		of, err := c.checkRoutes(routes)
		if err != nil {
			return nil, err
		}
		if of.Name != m.Name {
			return nil, errorf("ValidationException", "Routing configuration must contain versions of the alias's state machine")
		}
		a.Routes = routes
	}
	return &a, c.putAlias(m, &a)
}

// DeleteAlias deletes an alias. It is not an error if there is none.
func (c *Catalog) DeleteAlias(arn string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	m, a, err := c.findAlias(arn)
	var gone *Error
	if errors.As(err, &gone) && gone.Code == noResource {
		return nil
	}
	if err != nil {
		return err
	}
	m = m.copy()
	delete(m.aliases, a.Name)
	return c.swap(m, store.Doc{Name: "a/" + m.Name + "/" + a.Name})
}

// Aliases returns a page of the aliases of a machine, or of a version, sorted by creation time: those after the given alias (nil: from
// the first), at most limit of them. more reports whether others follow.
func (c *Catalog) Aliases(arn string, after *Alias, limit int) (page []*Alias, more bool, err error) {
	m, v, err := c.Machine(arn)
	if err != nil {
		return nil, false, err
	}
	all := make([]*Alias, 0, len(m.aliases))
	for _, a := range m.aliases {
		if v == nil || slices.Contains(m.aliasesOf(v.ARN), a.Name) {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, aliasOrder)
	page, more = pageOf(all, func(a *Alias) bool { return after == nil || aliasOrder(a, after) > 0 }, limit)
	return page, more, nil
}

// aliasOrder compares aliases by creation time, and by name if they were created in the same millisecond.
func aliasOrder(a, b *Alias) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}
