// Package proc names processes of this machine so that a reused process id is not mistaken, and finds all that belong to
// one tree. It starts none. ray (a head of our own) and proctask (local jobs) call it.
package proc

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ID is one process: Start is when it began, in words of the operating system that only compare.
type ID struct {
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

// Info is what the operating system tells of a process.
type Info struct {
	ID
	Parent, Group, Session int // Session is 0 where the system does not say
	UID                    int // -1 where unknown
	Zombie                 bool
	Args                   []string
}

// Of names the process that has this id now.
func Of(pid int) (ID, error) {
	info, err := read(pid)
	return info.ID, err
}

// Alive tells whether this very process still runs; one that has ended and was not waited for does not.
func (id ID) Alive() bool {
	if id.PID <= 0 {
		return false
	}
	info, err := read(id.PID)
	return err == nil && !info.Zombie && info.Start == id.Start
}

// Signal signals this very process, and is no error when it has ended.
func (id ID) Signal(sig syscall.Signal) error {
	if !id.Alive() {
		return nil
	}
	err := syscall.Kill(id.PID, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Tree lists the living processes of the session (or process group) that leader began and all that descend from them or
// carry mark, NAME=VALUE, in the environment that they started with: so what moved into a session of its own, or lost its
// parent, counts too. Once the leader's process id names another process, only the mark counts.
func Tree(leader ID, mark string) ([]ID, error) {
	all, err := List()
	if err != nil {
		return nil, err
	}
	in := map[int]bool{}
	session := sessionOf(leader)
	for _, p := range all {
		in[p.PID] = session > 0 && (p.Session == session || p.Group == session) || (mark != "" && marked(p.PID, mark))
	}
	for grew := true; grew; {
		grew = false
		for _, p := range all {
			if !in[p.PID] && p.Parent > 1 && in[p.Parent] {
				in[p.PID], grew = true, true
			}
		}
	}
	var tree []ID
	for _, p := range all {
		if in[p.PID] && !p.Zombie {
			tree = append(tree, p.ID)
		}
	}
	return tree, nil
}

// sessionOf is the leader's session as long as its number is not another's: the system gives no process the id of a
// session that still has members.
func sessionOf(leader ID) int {
	now, err := Of(leader.PID)
	if leader.PID <= 1 || (err == nil && now != leader) || bootOf(leader) != boot() {
		return 0
	}
	return leader.PID
}

func bootOf(id ID) string {
	name, _, _ := strings.Cut(id.Start, "/")
	return name
}

// Gone waits until none of the processes is alive, at most d, and returns those that are.
func Gone(ids []ID, d time.Duration) []ID {
	for deadline := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id ID) bool { return !id.Alive() })
		if len(ids) == 0 || time.Now().After(deadline) {
			return ids
		}
	}
}
