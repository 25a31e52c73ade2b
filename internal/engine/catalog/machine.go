package catalog

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// The limits of AWS's service quotas that a catalog keeps.
const (
	maxMachines = 100_000
	maxVersions = 1_000
	maxAliases  = 100
	maxTags     = 50
)

// Settings is what a revision of a state machine consists of. The configurations are compact JSON and have no effect here:
// they are kept and shown.
type Settings struct {
	Definition string `json:"definition"`
	RoleARN    string `json:"roleArn"`
	Logging    string `json:"logging"`
	Tracing    string `json:"tracing"`
	Encryption string `json:"encryption"`
	// FromNetwork says that the definition came over the network, and not from the owner of the state directory.
	FromNetwork bool `json:"fromNetwork,omitempty"`
}

// Machine is a state machine at its current revision. It never changes once it is handed out.
type Machine struct {
	ARN         string    `json:"-"`
	Name        string    `json:"name"`
	Type        string    `json:"type"`
	Settings    Settings  `json:"settings"`
	RevisionID  string    `json:"revisionId,omitempty"` // empty for the first one, as AWS shows it
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Tags        []Tag     `json:"tags,omitempty"`
	LastVersion int       `json:"lastVersion,omitempty"` // numbers are never used twice

	versions map[int]*Version
	aliases  map[string]*Alias
}

// CreateMachine is what CreateStateMachine asks for.
type CreateMachine struct {
	Name, Type         string
	Settings           Settings
	Tags               []Tag
	Publish            bool
	VersionDescription string
}

// Created says what became of a create: VersionARN is set where it published.
type Created struct {
	ARN, VersionARN string
	Date            time.Time
}

// CreateMachine makes a state machine. The same content again gives the machine that is there; role and tags are not
// part of the comparison.
func (c *Catalog) CreateMachine(r CreateMachine) (Created, error) {
	if err := CheckName(r.Name); err != nil {
		return Created{}, err
	}
	if r.VersionDescription != "" && !r.Publish {
		return Created{}, errDescriptionWithoutPublish
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if old := c.machine(r.Name); old != nil {
		return c.createAgain(old, r)
	}
	if err := checkDefinition(r.Settings.Definition, r.Type); err != nil {
		return Created{}, err
	}
	if err := c.roomFor(r); err != nil {
		return Created{}, err
	}
	return c.create(r)
}

// Creating and updating refuse this in the same words.
var errDescriptionWithoutPublish = errorf("ValidationException", "Version description can only be set when publish is true")

// checkDefinition refuses with every error of the definition at once.
func checkDefinition(definition, machineType string) error {
	if text, bad := check.Definition(definition, machineType == stepfn.Express).Refusal(); bad {
		return errorf("InvalidDefinition", "%s", text)
	}
	return nil
}

// roomFor keeps the service's quotas, so that a definition set that fits here fits AWS.
func (c *Catalog) roomFor(r CreateMachine) error {
	if len(r.Tags) > maxTags {
		return errTooManyTags(c.arn(stepfn.KindMachine, r.Name))
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.machines) >= maxMachines {
		return errorf("StateMachineLimitExceeded", "State Machine Limit Exceeded: '%d'", maxMachines)
	}
	return nil
}

// create writes machine and version in one commit.
func (c *Catalog) create(r CreateMachine) (Created, error) {
	now := c.now()
	m := &Machine{
		ARN: c.arn(stepfn.KindMachine, r.Name), Name: r.Name, Type: r.Type, Settings: r.Settings,
		Created: now, Updated: now, Tags: mergeTags(nil, r.Tags),
		versions: map[int]*Version{}, aliases: map[string]*Alias{},
	}
	out := Created{ARN: m.ARN, Date: now}
	docs := []store.Doc{}
	if r.Publish {
		v := m.addVersion(r.VersionDescription, now)
		out.VersionARN, docs = v.ARN, append(docs, versionDoc(m.Name, v))
	}
	return out, c.swap(m, append(docs, machineDoc(m))...)
}

func errPublishedBefore(how string) error {
	return errorf("StateMachineAlreadyExists", "State Machine Already Exists: This state machine was already created with a published version%s.", how)
}

// createAgain answers a create of a machine that exists. The version that it compares with, and gives, is the first one,
// whatever has been published since: so it was recorded.
func (c *Catalog) createAgain(old *Machine, r CreateMachine) (Created, error) {
	have, want := old.Settings, r.Settings
	have.RoleARN, want.RoleARN = "", ""
	adopts := !want.FromNetwork && !old.owns(want.Definition) // what came over the network becomes the owner's by an update
	have.FromNetwork = want.FromNetwork
	if have != want || old.Type != r.Type || adopts {
		return Created{}, errorf("StateMachineAlreadyExists", "State Machine Already Exists: '%s'", old.ARN)
	}
	out := Created{ARN: old.ARN, Date: old.Created}
	v := old.firstVersion()
	switch {
	case v == nil && !r.Publish:
		return out, nil
	case v == nil:
		var err error
		if v, err = c.publish(old, r.VersionDescription); err != nil {
			return Created{}, err
		}
	case !r.Publish:
		return Created{}, errPublishedBefore("")
	case v.Description != r.VersionDescription:
		return Created{}, errPublishedBefore(" using a different description")
	}
	out.VersionARN = v.ARN
	return out, nil
}

// UpdateMachine is what UpdateStateMachine asks for; nil fields stay as they are.
type UpdateMachine struct {
	ARN                                               string
	Definition, RoleARN, Logging, Tracing, Encryption *string
	Publish                                           bool
	VersionDescription                                string
	FromNetwork                                       bool // the caller is not the owner of the state directory
}

// Updated says what an update did: RevisionID is the current one (empty while it is still the first).
type Updated struct {
	Date                   time.Time
	RevisionID, VersionARN string
}

// apply gives the settings after the update.
func (u *UpdateMachine) apply(s Settings) Settings {
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	if u.Definition != nil && (!u.FromNetwork || *u.Definition != s.Definition) {
		s.FromNetwork = u.FromNetwork
	}
	set(&s.Definition, u.Definition)
	set(&s.RoleARN, u.RoleARN)
	set(&s.Logging, u.Logging)
	set(&s.Tracing, u.Tracing)
	set(&s.Encryption, u.Encryption)
	return s
}

// UpdateMachine changes a state machine: a new revision when anything differs. Executions that run keep theirs.
func (c *Catalog) UpdateMachine(u UpdateMachine) (Updated, error) {
	if err := u.check(); err != nil {
		return Updated{}, err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	old, err := c.findUnqualified(u.ARN)
	if err != nil {
		return Updated{}, err
	}
	if u.Definition != nil && *u.Definition != old.Settings.Definition {
		if err := checkDefinition(*u.Definition, old.Type); err != nil {
			return Updated{}, err
		}
	}
	return c.update(old, u)
}

// check refuses an update of nothing. Publishing alone is nothing: there is an action for that.
func (u *UpdateMachine) check() error {
	if u.Definition == nil && u.RoleARN == nil && u.Logging == nil && u.Tracing == nil && u.Encryption == nil {
		return errorf("MissingRequiredParameter",
			"Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified")
	}
	if u.VersionDescription != "" && !u.Publish {
		return errDescriptionWithoutPublish
	}
	return nil
}

// update publishes a revision once: when the latest version is of this revision already, it is that one.
func (c *Catalog) update(old *Machine, u UpdateMachine) (Updated, error) {
	m, now := old.copy(), c.now()
	if s := u.apply(old.Settings); s != old.Settings {
		m.Settings, m.RevisionID, m.Updated = s, uuid.NewString(), now
	}
	out := Updated{Date: m.Updated, RevisionID: m.RevisionID}
	docs := []store.Doc{}
	if u.Publish {
		v := m.currentVersion()
		if v == nil {
			if err := m.roomForVersion(); err != nil {
				return Updated{}, err
			}
			v = m.addVersion(u.VersionDescription, now)
			docs = append(docs, versionDoc(m.Name, v))
		}
		out.VersionARN = v.ARN
	}
	return out, c.swap(m, append(docs, machineDoc(m))...)
}

// DeleteMachine removes a machine with its versions and aliases. Executions that run go on: the engine keeps what they
// need. Deleting what is not there is no error.
func (c *Catalog) DeleteMachine(arn string) error {
	a, err := ExpectARN(arn, stepfn.KindMachine)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	m := c.machine(a.Name)
	if m == nil || !c.local(a) || a.Qualifier != "" {
		return nil
	}
	docs := []store.Doc{{Name: "m/" + m.Name}}
	for n := range m.versions {
		docs = append(docs, store.Doc{Name: versionName(m.Name, n)})
	}
	for alias := range m.aliases {
		docs = append(docs, store.Doc{Name: "a/" + m.Name + "/" + alias})
	}
	if err := c.cfg.Docs.PutDocs(docKind, docs...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.machines, m.Name)
	return nil
}

// Machine finds a machine, or (Version is not nil then) one of its versions.
func (c *Catalog) Machine(arn string) (*Machine, *Version, error) {
	a, m, err := c.find(arn)
	if err != nil {
		return nil, nil, err
	}
	if a.Qualifier == "" {
		return m, nil, nil
	}
	if v := m.version(a.Qualifier); v != nil {
		return m, v, nil
	}
	return nil, nil, errNoVersion(arn, a.Qualifier)
}

// MachineExists says whether executions of this ARN can be listed: a machine's, an alias's, or a version's, those of a
// version that was deleted, too.
func (c *Catalog) MachineExists(arn string) (*Machine, error) {
	a, m, err := c.find(arn)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(a.Qualifier)
	wasVersion := err == nil && number > 0 && number <= m.LastVersion
	if a.Qualifier != "" && !wasVersion && m.aliases[a.Qualifier] == nil {
		return nil, errNoVersion(arn, a.Qualifier)
	}
	return m, nil
}

// Machines lists machines by name, those after a name, at most limit.
func (c *Catalog) Machines(after string, limit int) (page []*Machine, more bool) {
	c.mu.RLock()
	all := make([]*Machine, 0, len(c.machines))
	for _, m := range c.machines {
		all = append(all, m)
	}
	c.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Machine) int { return cmp.Compare(a.Name, b.Name) })
	return pageOf(all, func(m *Machine) bool { return m.Name > after }, limit)
}

// pageOf is the first limit items of those that are after the former page.
func pageOf[T any](all []T, after func(T) bool, limit int) ([]T, bool) {
	from := slices.IndexFunc(all, after)
	if from < 0 {
		return nil, false
	}
	all = all[from:]
	if len(all) > limit {
		return all[:limit], true
	}
	return all, false
}
