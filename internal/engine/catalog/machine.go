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

// The service quotas of AWS that the catalog enforces.
const (
	maxMachines = 100_000
	maxVersions = 1_000
	maxAliases  = 100
	maxTags     = 50
)

// Settings is the content of a revision of a state machine. Logging, Tracing and Encryption are compact JSON. They are stored and shown,
// but have no effect.
type Settings struct {
	Definition string `json:"definition"`
	RoleARN    string `json:"roleArn"`
	Logging    string `json:"logging"`
	Tracing    string `json:"tracing"`
	Encryption string `json:"encryption"`
	// FromNetwork means that the definition was registered over the network, and not by the owner of the state directory.
	FromNetwork bool `json:"fromNetwork,omitempty"`
}

// Machine is a state machine with its current revision. It is immutable: a change replaces it.
type Machine struct {
	ARN         string    `json:"-"`
	Name        string    `json:"name"`
	Type        string    `json:"type"`
	Settings    Settings  `json:"settings"`
	RevisionID  string    `json:"revisionId,omitempty"` // empty for the first one, as AWS shows it
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Tags        []Tag     `json:"tags,omitempty"`
	LastVersion int       `json:"lastVersion,omitempty"` // the greatest version number so far, because numbers are not reused

	versions map[int]*Version
	aliases  map[string]*Alias
}

// CreateMachine has the parameters of CreateStateMachine.
type CreateMachine struct {
	Name, Type         string
	Settings           Settings
	Tags               []Tag
	Publish            bool
	VersionDescription string
}

// Created is the result of a create. VersionARN is set if a version was published.
type Created struct {
	ARN, VersionARN string
	Date            time.Time
}

// CreateMachine creates a state machine. If one with the same name and content exists, it returns that one; role and tags are not
// compared.
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

// errDescriptionWithoutPublish is the error of both CreateStateMachine and UpdateStateMachine.
var errDescriptionWithoutPublish = errorf("ValidationException", "Version description can only be set when publish is true")

// checkDefinition returns an error that reports all errors of a definition.
func checkDefinition(definition, machineType string) error {
	if text, bad := check.Definition(definition, machineType == stepfn.Express).Refusal(); bad {
		return errorf("InvalidDefinition", "%s", text)
	}
	return nil
}

// roomFor enforces AWS's quotas, so that state machines that can be created here can also be created on AWS.
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

// create stores a new machine and its version, if it has one, in one commit.
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

// createAgain returns the result of a create whose name is taken. It compares with the first version, and returns it, even if others were
// published since: recordings show that AWS does so.
func (c *Catalog) createAgain(old *Machine, r CreateMachine) (Created, error) {
	have, want := old.Settings, r.Settings
	have.RoleARN, want.RoleARN = "", ""
	adopts := !want.FromNetwork && !old.owns(want.Definition) // the owner must use an update to adopt a definition from the network
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

// UpdateMachine has the parameters of UpdateStateMachine. Nil fields are left unchanged.
type UpdateMachine struct {
	ARN                                               string
	Definition, RoleARN, Logging, Tracing, Encryption *string
	Publish                                           bool
	VersionDescription                                string
	FromNetwork                                       bool // the caller is not the owner of the state directory
}

// Updated is the result of an update. RevisionID is that of the current revision; the first revision has none.
type Updated struct {
	Date                   time.Time
	RevisionID, VersionARN string
}

// apply returns the settings after the update.
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

// UpdateMachine updates a state machine. If anything differs, it creates a new revision. Running executions keep their revision.
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

// check rejects an update that changes nothing. Publish alone counts as nothing, because there is another action for it.
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

// update applies an update. If it has to publish and the latest version is already one of this revision, it returns that version.
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

// DeleteMachine deletes a machine with its versions and aliases. Running executions continue, because the engine stores everything that
// they need. It is not an error if there is no such machine.
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

// Machine returns the machine with an ARN. If the ARN is that of a version, it also returns the version, else nil.
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

// MachineExists returns the machine of an ARN whose executions can be listed: that of a machine, an alias or a version, including a
// deleted version.
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

// Machines returns a page of the machines, sorted by name: those with a name after the given one, at most limit of them. more reports
// whether others follow.
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

// pageOf returns the first limit items for which after is true, and whether others follow. all must be sorted, so that after is true for
// all items that follow the first such item.
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
