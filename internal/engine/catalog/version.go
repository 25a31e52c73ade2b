package catalog

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// initialRevision is how PublishStateMachineVersion names the first revision, which has no id.
const initialRevision = "INITIAL"

// Version is a published revision. It is immutable.
type Version struct {
	ARN         string    `json:"-"`
	Number      int       `json:"number"`
	Settings    Settings  `json:"settings"`
	RevisionID  string    `json:"revisionId,omitempty"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
}

// version returns the version with the number that an ARN has, nil if there is none.
func (m *Machine) version(number string) *Version {
	n, err := strconv.Atoi(number)
	if err != nil || strconv.Itoa(n) != number {
		return nil
	}
	return m.versions[n]
}

// firstVersion returns the oldest existing version, nil if there is none.
func (m *Machine) firstVersion() *Version {
	var first *Version
	for _, v := range m.versions {
		if first == nil || v.Number < first.Number {
			first = v
		}
	}
	return first
}

// currentVersion returns the latest version if it is a version of the current revision, else nil.
func (m *Machine) currentVersion() *Version {
	v := m.versions[m.LastVersion]
	if v != nil && v.RevisionID == m.RevisionID {
		return v
	}
	return nil
}

// addVersion publishes the current revision. The machine must be a copy (see copy).
func (m *Machine) addVersion(description string, now time.Time) *Version {
	m.LastVersion++
	v := &Version{
		ARN: m.ARN + ":" + strconv.Itoa(m.LastVersion), Number: m.LastVersion, Settings: m.Settings,
		RevisionID: m.RevisionID, Description: description, Created: now,
	}
	m.versions[v.Number] = v
	return v
}

// roomForVersion returns an error if the machine has the maximum number of versions. Deleted versions do not count.
func (m *Machine) roomForVersion() error {
	if len(m.versions) < maxVersions {
		return nil
	}
	return errorf("ServiceQuotaExceededException", "Version limit exceeded: %d versions of %s", maxVersions, m.ARN)
}

// errNoVersion returns the error for a missing version or alias. As on AWS, the text mentions the version only if the qualifier is a
// number.
func errNoVersion(arn, qualifier string) error {
	if _, err := strconv.Atoi(qualifier); err != nil {
		return errNoMachine(arn)
	}
	return errorf("StateMachineDoesNotExist", "State Machine Version Does Not Exist: '%s'", arn)
}

// Publish publishes the current revision. If revision is not empty, it must be the id of the current revision.
func (c *Catalog) Publish(arn, revision, description string) (*Version, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	m, err := c.findUnqualified(arn)
	if err != nil {
		return nil, err
	}
	if current := cmp.Or(m.RevisionID, initialRevision); revision != "" && revision != current {
		return nil, errorf("ConflictException", "Failed to publish the State Machine version for revision %s. "+
			"The current State Machine revision is %s.", revision, current)
	}
	return c.publish(m, description)
}

// publish publishes the current revision, or returns the version that it has already, with its first description. The caller holds
// c.writing.
func (c *Catalog) publish(m *Machine, description string) (*Version, error) {
	if v := m.currentVersion(); v != nil {
		return v, nil
	}
	if err := m.roomForVersion(); err != nil {
		return nil, err
	}
	m = m.copy()
	v := m.addVersion(description, c.now())
	return v, c.swap(m, versionDoc(m.Name, v), machineDoc(m))
}

// Versions returns a page of the versions of a machine, newest first: those with a lower number than before (0: all), at most limit of
// them. more reports whether others follow.
func (c *Catalog) Versions(arn string, before, limit int) (page []*Version, more bool, err error) {
	m, err := c.findUnqualified(arn)
	if err != nil {
		return nil, false, err
	}
	all := make([]*Version, 0, len(m.versions))
	for _, v := range m.versions {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *Version) int { return cmp.Compare(b.Number, a.Number) })
	page, more = pageOf(all, func(v *Version) bool { return before == 0 || v.Number < before }, limit)
	return page, more, nil
}

// DeleteVersion deletes a version. It is an error if an alias refers to the version, but not if there is no such version.
func (c *Catalog) DeleteVersion(arn string) error {
	a, err := ExpectARN(arn, stepfn.KindMachine)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	m := c.machine(a.Name)
	if m == nil || !c.local(a) || m.version(a.Qualifier) == nil {
		return nil
	}
	v := m.version(a.Qualifier)
	if users := m.aliasesOf(v.ARN); len(users) > 0 {
		return errorf("ConflictException", "Version to be deleted must not be referenced by an alias. "+
			"Current list of aliases referencing this version: %s", bracketed(users))
	}
	m = m.copy()
	delete(m.versions, v.Number)
	return c.swap(m, store.Doc{Name: versionName(m.Name, v.Number)})
}

// Target is what an ARN that is to be started refers to.
type Target struct {
	Machine              *Machine
	Settings             *Settings
	RevisionID           string
	VersionARN, AliasARN string
}

// FromNetwork reports whether only callers over the network registered the definition. If the owner of the state directory registered the
// same text under this name, too, the definition is the owner's.
func (t Target) FromNetwork() bool {
	return t.Settings.FromNetwork && !t.Machine.owns(t.Settings.Definition)
}

// owns reports whether the owner of the state directory registered this definition.
func (m *Machine) owns(definition string) bool {
	if m.Settings.owns(definition) {
		return true
	}
	for _, v := range m.versions {
		if v.Settings.owns(definition) {
			return true
		}
	}
	return false
}

func (s *Settings) owns(definition string) bool { return !s.FromNetwork && s.Definition == definition }

// Resolve returns what to start for an ARN. For an alias, it selects one of the versions at random, by their weights.
func (c *Catalog) Resolve(arn string) (Target, error) {
	a, m, err := c.find(arn)
	if err != nil {
		return Target{}, err
	}
	if a.Qualifier == "" {
		return Target{Machine: m, Settings: &m.Settings, RevisionID: m.RevisionID}, nil
	}
	t := Target{Machine: m}
	v := m.version(a.Qualifier)
	if alias := m.aliases[a.Qualifier]; alias != nil {
		t.AliasARN = alias.ARN
		v = m.versionByARN(alias.pick(rand.IntN(100))) //nolint:gosec // spreads executions, no secret
	}
	if v == nil {
		return Target{}, errNoVersion(arn, a.Qualifier)
	}
	t.Settings, t.RevisionID, t.VersionARN = &v.Settings, v.RevisionID, v.ARN
	return t, nil
}

func (m *Machine) versionByARN(arn string) *Version {
	for _, v := range m.versions {
		if v.ARN == arn {
			return v
		}
	}
	return nil
}

// RevisionDate returns when a revision was created, or other if that is no longer known.
func (m *Machine) RevisionDate(id string, other time.Time) time.Time {
	switch id {
	case m.RevisionID:
		return m.Updated
	case "":
		return m.Created
	}
	for _, v := range m.versions {
		if v.RevisionID == id {
			return v.Created
		}
	}
	return other
}
