// Package access implements the authorization of callers: access keys, their roles, and the role that each action and endpoint
// needs. It also creates and reads the access key of a state directory. It does not authenticate: packages api and console
// verify signatures, passwords and sessions, and then call Caller.May.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
)

// Role is a set of permissions. Each role includes the permissions of all lower ones.
type Role int

// The roles, lowest first. None, the zero value, has no permissions.
const (
	None  Role = iota
	Read       // list, describe, histories, logs, metrics
	Run        // start, stop and redrive executions of registered state machines
	Admin      // everything: a caller that can register a definition can run commands as the server's user
)

var roleNames = [...]string{None: "none", Read: "read", Run: "run", Admin: "admin"}

func (r Role) String() string { return roleNames[r] }

// SplitRole splits FILE[=ROLE], with Admin as the default. A suffix that is not exactly a role's name is part of the file's name.
func SplitRole(arg string) (file string, role Role) {
	if i := strings.LastIndexByte(arg, '='); i >= 0 {
		for _, r := range []Role{Read, Run, Admin} {
			if arg[i+1:] == r.String() {
				return arg[:i], r
			}
		}
	}
	return arg, Admin
}

// Key is the secret and the role of an access key.
type Key struct {
	Secret string
	Role   Role
}

// Keys are access keys by id.
type Keys map[string]Key

// Check verifies a secret, and returns its caller. It takes the same time whether the id or the secret is wrong.
func (k Keys) Check(id, secret string) (Caller, bool) {
	key, known := k[id]
	want, got := sha256.Sum256([]byte(key.Secret)), sha256.Sum256([]byte(secret))
	if same := subtle.ConstantTimeCompare(want[:], got[:]) == 1; !same || !known {
		return Caller{}, false
	}
	return Caller{Key: id, Role: key.Role}, true
}

// SeveralRoles reports whether the keys have different roles.
func (k Keys) SeveralRoles() bool {
	roles := map[Role]bool{}
	for _, key := range k {
		roles[key.Role] = true
	}
	return len(roles) > 1
}

// Caller is the authenticated sender of a request.
type Caller struct {
	Key  string // the access key's id; empty for the owner of the state directory
	Role Role
}

// OriginHeader marks a request that a console forwards to the owner's socket for a user who signed in with a key. Such a request
// counts as coming over the network, not from the owner. A forged header can only reduce what the sender is allowed to do.
const OriginHeader = "Rayorch-Origin"

// May returns nil if the caller's role permits what: the name of an action of the Step Functions API, or an endpoint as
// METHOD PATH. Otherwise, it returns an error that names the key, its role and the role that is needed.
func (c Caller) May(what string) error {
	need, _ := Need(what)
	if c.Role >= need {
		return nil
	}
	if !strings.Contains(what, " ") {
		what = "states:" + what
	}
	return fmt.Errorf("access key %s has the role %s and is not authorized to perform %s, which needs the role %s", c.Key, c.Role, what, need)
}
