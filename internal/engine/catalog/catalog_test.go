package catalog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// docs keeps documents in memory.
type docs struct {
	all  map[string][]byte
	fail error
}

func (d *docs) PutDocs(kind string, puts ...store.Doc) error {
	if d.fail != nil {
		return d.fail
	}
	for _, p := range puts {
		if p.Value == nil {
			delete(d.all, kind+"/"+p.Name)
		} else {
			d.all[kind+"/"+p.Name] = p.Value
		}
	}
	return nil
}

func (d *docs) Docs(kind, prefix, after string, limit int) ([]store.Doc, error) {
	var out []store.Doc
	for name, v := range d.all {
		if rest, ok := strings.CutPrefix(name, kind+"/"); ok && strings.HasPrefix(rest, prefix) && rest > after {
			out = append(out, store.Doc{Name: rest, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b store.Doc) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// fixture is a catalog with documents in memory. Its clock advances by one second with each reading.
type fixture struct {
	*catalog.Catalog
	docs *docs
	now  time.Time
}

func open(t *testing.T, d *docs) *fixture {
	t.Helper()
	f := &fixture{docs: d, now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	c, err := catalog.Open(catalog.Config{Docs: d, Now: func() time.Time { f.now = f.now.Add(time.Second); return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	f.Catalog = c
	return f
}

func fresh(t *testing.T) *fixture { return open(t, &docs{all: map[string][]byte{}}) }

const prefix = "arn:aws:states:us-east-1:123456789012:stateMachine:"

func definition(n int) string {
	return fmt.Sprintf(`{"StartAt":"P","States":{"P":{"Type":"Pass","Result":%d,"End":true}}}`, n)
}

func machine(name string, n int) catalog.CreateMachine {
	return catalog.CreateMachine{Name: name, Type: "STANDARD", Settings: catalog.Settings{Definition: definition(n), RoleARN: "r"}}
}

// ok returns a result, and fails the test if there is an error.
func ok[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantCode checks that an error is a catalog.Error with a code.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *catalog.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestCreateIsIdempotentByContent(t *testing.T) {
	c := fresh(t)
	first := ok[catalog.Created](t)(c.CreateMachine(machine("m", 1)))
	again := machine("m", 1)
	again.Settings.RoleARN, again.Tags = "other", []catalog.Tag{{Key: "k"}}
	if d := cmp.Diff(first, ok[catalog.Created](t)(c.CreateMachine(again))); d != "" {
		t.Error(d)
	}
	_, err := c.CreateMachine(machine("m", 2))
	wantCode(t, err, "StateMachineAlreadyExists")
	_, err = c.CreateMachine(catalog.CreateMachine{Name: "a b"})
	wantCode(t, err, "InvalidName")
	_, err = c.CreateMachine(catalog.CreateMachine{Name: "n", Settings: catalog.Settings{Definition: "{}"}})
	wantCode(t, err, "InvalidDefinition")
}

func TestUpdateCreatesRevision(t *testing.T) {
	c := fresh(t)
	arn := ok[catalog.Created](t)(c.CreateMachine(machine("m", 1))).ARN
	same, other := definition(1), definition(2)
	if u := ok[catalog.Updated](t)(c.UpdateMachine(catalog.UpdateMachine{ARN: arn, Definition: &same})); u.RevisionID != "" {
		t.Errorf("nothing changed, but the revision is %s", u.RevisionID)
	}
	first := ok[catalog.Updated](t)(c.UpdateMachine(catalog.UpdateMachine{ARN: arn, Definition: &other}))
	second := ok[catalog.Updated](t)(c.UpdateMachine(catalog.UpdateMachine{ARN: arn, Definition: &other}))
	if first.RevisionID == "" || first.RevisionID != second.RevisionID {
		t.Errorf("revisions %q, %q", first.RevisionID, second.RevisionID)
	}
	_, err := c.UpdateMachine(catalog.UpdateMachine{ARN: arn})
	wantCode(t, err, "MissingRequiredParameter")
	_, err = c.UpdateMachine(catalog.UpdateMachine{ARN: arn + ":1", Definition: &same})
	wantCode(t, err, "StateMachineDoesNotExist")
}

func TestVersions(t *testing.T) {
	c := fresh(t)
	arn := ok[catalog.Created](t)(c.CreateMachine(machine("m", 1))).ARN
	first := ok[*catalog.Version](t)(c.Publish(arn, "INITIAL", "one"))
	if again := ok[*catalog.Version](t)(c.Publish(arn, "", "")); again.ARN != first.ARN {
		t.Errorf("published twice: %s", again.ARN)
	}
	_, err := c.Publish(arn, "another", "")
	wantCode(t, err, "ConflictException")
	other := definition(2)
	u := ok[catalog.Updated](t)(c.UpdateMachine(catalog.UpdateMachine{ARN: arn, Definition: &other, Publish: true}))
	if u.VersionARN != arn+":2" {
		t.Errorf("published %s", u.VersionARN)
	}
	if _, v, err := c.Machine(first.ARN); err != nil || v.Settings.Definition != definition(1) || v.Description != "one" {
		t.Errorf("version 1 is %+v, %v", v, err)
	}
	page, more, err := c.Versions(arn, 0, 1)
	if err != nil || !more || page[0].Number != 2 {
		t.Errorf("listed %v, %v, %v", page, more, err)
	}
	if err := c.DeleteVersion(u.VersionARN); err != nil {
		t.Error(err)
	}
	if v := ok[*catalog.Version](t)(c.Publish(arn, "", "")); v.Number != 3 {
		t.Errorf("the number of the version is %d, want 3: numbers must not be reused", v.Number)
	}
}

func TestAliases(t *testing.T) {
	c := fresh(t)
	arn := ok[catalog.Created](t)(c.CreateMachine(catalog.CreateMachine{
		Name: "m", Type: "STANDARD", Publish: true, Settings: catalog.Settings{Definition: definition(1)}})).ARN
	other := definition(2)
	ok[catalog.Updated](t)(c.UpdateMachine(catalog.UpdateMachine{ARN: arn, Definition: &other, Publish: true}))
	one, two := arn+":1", arn+":2"
	for _, c2 := range []struct {
		name   string
		routes []catalog.Route
		code   string
	}{
		{"no version", []catalog.Route{{VersionARN: arn, Weight: 100}}, "ValidationException"},
		{"weights below 100", []catalog.Route{{VersionARN: one, Weight: 99}}, "ValidationException"},
		{"the same version twice", []catalog.Route{{VersionARN: one, Weight: 50}, {VersionARN: one, Weight: 50}}, "ValidationException"},
	} {
		t.Run(c2.name, func(t *testing.T) {
			_, err := c.CreateAlias("live", "", c2.routes)
			wantCode(t, err, c2.code)
		})
	}
	a := ok[*catalog.Alias](t)(c.CreateAlias("live", "d", []catalog.Route{{VersionARN: one, Weight: 100}}))
	if again := ok[*catalog.Alias](t)(c.CreateAlias("live", "d", a.Routes)); again.Created != a.Created {
		t.Error("the same alias was created again")
	}
	_, err := c.CreateAlias("live", "e", a.Routes)
	wantCode(t, err, "ConflictException")
	wantCode(t, c.DeleteVersion(one), "ConflictException")
	ok[*catalog.Alias](t)(c.UpdateAlias(a.ARN, nil, []catalog.Route{{VersionARN: one, Weight: 50}, {VersionARN: two, Weight: 50}}))
	drawn := map[string]int{}
	for range 1000 {
		target := ok[catalog.Target](t)(c.Resolve(a.ARN))
		drawn[target.VersionARN]++
	}
	if drawn[one] < 300 || drawn[two] < 300 {
		t.Errorf("drawn %v", drawn)
	}
	if err := c.DeleteAlias(a.ARN); err != nil {
		t.Error(err)
	}
	if err := c.DeleteAlias(a.ARN); err != nil {
		t.Error(err)
	}
	_, err = c.Alias(a.ARN)
	wantCode(t, err, "ResourceNotFound")
}

// All resources exist after a restart, with their last changes.
func TestReopen(t *testing.T) {
	c := fresh(t)
	arn := ok[catalog.Created](t)(c.CreateMachine(catalog.CreateMachine{
		Name: "m", Type: "EXPRESS", Publish: true, VersionDescription: "first", Tags: []catalog.Tag{{Key: "a", Value: "b"}},
		Settings: catalog.Settings{Definition: definition(1), RoleARN: "r", Logging: "{}"}})).ARN
	ok[*catalog.Alias](t)(c.CreateAlias("live", "", []catalog.Route{{VersionARN: arn + ":1", Weight: 100}}))
	ok[*catalog.Activity](t)(c.CreateActivity("act", "{}", nil))
	ok[catalog.Created](t)(c.CreateMachine(machine("gone", 1)))
	if err := c.DeleteMachine(prefix + "gone"); err != nil {
		t.Fatal(err)
	}
	if err := c.AddTags(arn, []catalog.Tag{{Key: "a", Value: "c"}, {Key: stepfn.CleanupTag, Value: "x"}}); err != nil {
		t.Fatal(err)
	}
	again := open(t, c.docs)
	before, v1, _ := c.Machine(arn + ":1")
	after, v2, err := again.Machine(arn + ":1")
	if err != nil {
		t.Fatal(err)
	}
	exported := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".versions" || p.Last().String() == ".aliases" }, cmp.Ignore())
	if d := cmp.Diff(before, after, exported); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(v1, v2); d != "" {
		t.Error(d)
	}
	if after.Tag(stepfn.CleanupTag) != "x" || after.Tag("a") != "c" {
		t.Errorf("tags %v", after.Tags)
	}
	if target := ok[catalog.Target](t)(again.Resolve(arn + ":live")); target.VersionARN != arn+":1" {
		t.Errorf("the alias resolves to %s", target.VersionARN)
	}
	if _, err := again.Activity("arn:aws:states:us-east-1:123456789012:activity:act"); err != nil {
		t.Error(err)
	}
	if _, _, err := again.Machine(prefix + "gone"); err == nil {
		t.Error("a deleted machine exists again")
	}
}

// If a write fails, nothing changes in memory.
func TestFailedWriteChangesNothing(t *testing.T) {
	c := fresh(t)
	arn := ok[catalog.Created](t)(c.CreateMachine(machine("m", 1))).ARN
	c.docs.fail = errors.New("disk full")
	other := definition(2)
	if _, err := c.UpdateMachine(catalog.UpdateMachine{ARN: arn, Definition: &other}); err == nil {
		t.Error("UpdateMachine succeeded")
	}
	if _, err := c.CreateMachine(machine("n", 1)); err == nil {
		t.Error("CreateMachine succeeded")
	}
	if m, _, err := c.Machine(arn); err != nil || m.Settings.Definition != definition(1) {
		t.Errorf("the machine is %+v, %v", m, err)
	}
	if page, _ := c.Machines("", 10); len(page) != 1 {
		t.Errorf("%d machines", len(page))
	}
}

func TestNewerRecordIsRejected(t *testing.T) {
	d := &docs{all: map[string][]byte{"catalog/m/x": []byte(`{"format":99,"record":{}}`)}}
	_, err := catalog.Open(catalog.Config{Docs: d})
	if err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Errorf("got %v", err)
	}
}

func TestParseARN(t *testing.T) {
	for _, c := range []struct{ arn, kind, name, qualifier, message string }{
		{prefix + "m", "stateMachine", "m", "", ""},
		{prefix + "m:live", "stateMachine", "m", "live", ""},
		{"arn:aws:states:us-east-1:1:express:m:x:y", "express", "m", "x:y", ""},
		{"no_arn", "", "", "", "InvalidArn: Invalid Arn: 'Invalid ARN prefix: no_arn'"},
		{"arn:aws:s3:::b", "", "", "", "InvalidArn: Invalid Arn: 'Invalid ARN: arn:aws:s3:::b'"},
	} {
		t.Run(c.arn, func(t *testing.T) {
			a, err := catalog.ParseARN(c.arn)
			if err != nil {
				if err.Error() != c.message {
					t.Errorf("got %v", err)
				}
				return
			}
			if a.Kind != c.kind || a.Name != c.name || a.Qualifier != c.qualifier {
				t.Errorf("got %+v", a)
			}
		})
	}
}
