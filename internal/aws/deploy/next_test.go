package deploy_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/rayorch/rayorch/internal/aws/deploy"
)

// TestNext verifies the next step of deploy and destroy for every status of CloudFormation.
func TestNext(t *testing.T) {
	const inProgress, whole, broken = "wait wait", "update delete", "delete delete"
	want := map[types.StackStatus]string{
		"": "create nothing", "DELETE_COMPLETE": "create nothing", "REVIEW_IN_PROGRESS": broken,
		"CREATE_COMPLETE": whole, "UPDATE_COMPLETE": whole, "UPDATE_ROLLBACK_COMPLETE": whole, "IMPORT_COMPLETE": whole, "IMPORT_ROLLBACK_COMPLETE": whole,
		"CREATE_FAILED": broken, "ROLLBACK_COMPLETE": broken, "ROLLBACK_FAILED": broken, "DELETE_FAILED": broken, "IMPORT_ROLLBACK_FAILED": broken,
		"UPDATE_FAILED": "roll back delete", "UPDATE_ROLLBACK_FAILED": "continue the rollback delete",
		"CREATE_IN_PROGRESS": "wait delete", "ROLLBACK_IN_PROGRESS": inProgress, "DELETE_IN_PROGRESS": inProgress, "UPDATE_IN_PROGRESS": inProgress,
		"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": inProgress, "UPDATE_ROLLBACK_IN_PROGRESS": inProgress,
		"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": inProgress, "IMPORT_IN_PROGRESS": inProgress, "IMPORT_ROLLBACK_IN_PROGRESS": inProgress,
	}
	for _, status := range append(types.StackStatus("").Values(), "") {
		got := deploy.Next(deploy.Deployed, status).String() + " " + deploy.Next(deploy.Gone, status).String()
		if got != want[status] {
			t.Errorf("%s: %s, want %s", status, got, want[status])
		}
	}
	if got := deploy.Next(deploy.Deployed, "SOMETHING_NEW"); got != deploy.Wait {
		t.Errorf("an unknown status: got %s, want %s", got, deploy.Wait)
	}
}

const others = `# the nodes
- rolearn: arn:aws:iam::1:role/nodes # all of them
  username: system:node:{{EC2PrivateDNSName}}
  groups: ['system:bootstrappers', 'system:nodes']
- groups:
    - system:masters
  rolearn: arn:aws:iam::1:role/admin
  username: admin
  later: field
`

// TestAddMapping also removes the mapping again, and verifies that invalid text is an error.
func TestAddMapping(t *testing.T) {
	m := deploy.Mapping{Role: "arn:aws:iam::1:role/states", Username: "mod", Groups: []string{"mod"}}
	const mine = "- rolearn: arn:aws:iam::1:role/states\n  username: mod\n  groups:\n    - mod\n"
	const stale = "- rolearn: arn:aws:iam::1:role/old\n  username: mod\n"
	for name, c := range map[string]struct{ before, after string }{
		"none":      {"", mine},
		"null":      {"null\n", mine},
		"empty":     {"[]\n", mine},
		"others":    {others, others + mine},
		"there":     {others + mine, others + mine},
		"stale":     {stale + others, others + mine},
		"changed":   {strings.Replace(mine, "username: mod", "username: x", 1) + others, others + mine},
		"twice":     {mine + mine, mine},
		"one line":  {"[{rolearn: a, username: b}]\n", "- {rolearn: a, username: b}\n" + mine},
		"in middle": {stale[:0] + mine + others, mine + others},
	} {
		got, err := deploy.AddMapping(c.before, m, "arn:aws:iam::1:role/old")
		if err != nil || got != c.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.after)
		}
		dropped, err := deploy.DropMapping(got, m.Role)
		if err != nil || strings.Contains(dropped, m.Role) || strings.Count(dropped, "rolearn") != strings.Count(got, "rolearn")-1 {
			t.Errorf("%s, dropped: %v\n%s", name, err, dropped)
		}
	}
	for _, wrong := range []string{"a: b", "- 1", "\t", "- rolearn: [1]"} {
		if got, err := deploy.AddMapping(wrong, m); err == nil {
			t.Errorf("%q: got %q, want an error: invalid text must not be overwritten", wrong, got)
		}
	}
}

// FuzzMapRoles verifies that adding a mapping is idempotent.
func FuzzMapRoles(f *testing.F) {
	f.Add(others)
	f.Add("- &a {rolearn: x}\n- *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := deploy.Mapping{Role: "arn:aws:iam::1:role/states", Username: "mod", Groups: []string{"mod"}}
		once, err := deploy.AddMapping(text, m)
		if err != nil {
			return
		}
		if twice, err := deploy.AddMapping(once, m); err != nil || twice != once {
			t.Errorf("adding again: %v\n%s\nthen\n%s", err, once, twice)
		}
		if _, err := deploy.DropMapping(once, m.Role); err != nil {
			t.Error(err)
		}
	})
}
