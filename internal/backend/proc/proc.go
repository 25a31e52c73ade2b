// Package proc identifies processes on this machine by more than their PIDs, which are reused, and finds all processes of a tree. It
// does not start processes. Packages ray and proctask use it.
package proc

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ID identifies a process. Start is its start time in a format of the operating system; it can only be compared for equality.
type ID struct {
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

// Info describes a process.
type Info struct {
	ID
	Parent, Group, Session int // Session is 0 if the system does not provide it
	UID                    int // -1 if unknown
	Zombie                 bool
	Args                   []string
}

// Of returns the identity of the process that has this PID now.
func Of(pid int) (ID, error) {
	info, err := read(pid)
	return info.ID, err
}

// Alive reports whether the process is running. A zombie is not, and another process with the same PID does not count.
func (id ID) Alive() bool {
	if id.PID <= 0 {
		return false
	}
	info, err := read(id.PID)
	return err == nil && !info.Zombie && info.Start == id.Start
}

// Signal sends a signal to the process. It does nothing and returns nil if the process has ended.
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

// Tree returns the running processes that belong to leader: those in its session or process group, those that were started with the
// variable mark (NAME=VALUE) in their environment, and all descendants of these. So it also finds processes that have created their own
// session, and those whose parent has ended. If the leader's PID has been reused, only the mark counts.
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

// sessionOf returns the id of the leader's session, or 0 if the id may belong to another session. If the leader has ended and its PID
// is not in use, the id is still valid: the system does not reuse the id of a session that has members.
func sessionOf(leader ID) int {
	now, err := Of(leader.PID)
	if leader.PID <= 1 || (err == nil && now != leader) || bootOf(leader) != boot() {
		return 0
	}
	return leader.PID
}

// bootOf returns the boot during which a process was started.
func bootOf(id ID) string {
	name, _, _ := strings.Cut(id.Start, "/")
	return name
}

// Gone waits until none of the processes is running, at most d, and returns those that still are.
func Gone(ids []ID, d time.Duration) []ID {
	for deadline := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id ID) bool { return !id.Alive() })
		if len(ids) == 0 || time.Now().After(deadline) {
			return ids
		}
	}
}
