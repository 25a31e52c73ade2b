// Package access knows the callers of a server: access keys, the role of each, and the role that each action needs. It reads
// and creates the file of a state directory's own key. It does not verify signatures or sessions: api and console do, and ask
// this package what the caller may do.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
)

// Role is what an access key may do. Each role may do what the ones below it may.
type Role int

// The roles. None is the zero value, which may do nothing.
const (
	None  Role = iota
	Read       // list, describe, histories, logs, metrics
	Run        // start, stop and redrive executions of registered state machines
	Admin      // everything: a caller that can register definitions can run commands as the server's user
)

var roleNames = [...]string{None: "none", Read: "read", Run: "run", Admin: "admin"}

func (r Role) String() string { return roleNames[r] }

// SplitRole splits FILE[=ROLE], with Admin as the default. A suffix that is not exactly a role belongs to the file's name.
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

// Key is an access key without its id.
type Key struct {
	Secret string
	Role   Role
}

// Keys are access keys by id.
type Keys map[string]Key

// Check compares a secret. It takes as long for an unknown id as for a known one.
func (k Keys) Check(id, secret string) (Caller, bool) {
	key, known := k[id]
	want, got := sha256.Sum256([]byte(key.Secret)), sha256.Sum256([]byte(secret))
	if same := subtle.ConstantTimeCompare(want[:], got[:]) == 1; !same || !known {
		return Caller{}, false
	}
	return Caller{Key: id, Role: key.Role}, true
}

// SeveralRoles says that some callers may do less than others.
func (k Keys) SeveralRoles() bool {
	roles := map[Role]bool{}
	for _, key := range k {
		roles[key.Role] = true
	}
	return len(roles) > 1
}

// Caller is who made a request.
type Caller struct {
	Key  string // the access key's id; empty for the owner of the state directory
	Role Role
}

// OriginHeader marks a request that a console passes on to the owner of a state directory for somebody who signed in with a key: it
// is not the owner's own. It can only take rights away.
const OriginHeader = "Rayorch-Origin"

// May is nil if the caller may do something: an action of the Step Functions API, or an endpoint as METHOD PATH.
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
