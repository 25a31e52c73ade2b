//go:build !linux

package proc

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// columns are the columns of ps(1) on macOS and the BSDs. lstart consists of five words.
const columns = "pid=,ppid=,pgid=,uid=,stat=,lstart=,command="

// List returns all processes. It uses ps, because these systems have no /proc.
func List() ([]Info, error) {
	out, err := exec.Command("ps", "-axww", "-o", columns).Output()
	if err != nil {
		return nil, fmt.Errorf("run ps: %w", err)
	}
	var all []Info
	for line := range strings.Lines(string(out)) {
		if info, ok := parse(line); ok {
			all = append(all, info)
		}
	}
	return all, nil
}

// parse parses a line of ps.
func parse(line string) (Info, bool) {
	f := strings.Fields(line)
	if len(f) < 11 {
		return Info{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	return Info{
		ID:     ID{PID: number(0), Start: boot() + "/" + strings.Join(f[5:10], " ")},
		Parent: number(1), Group: number(2), UID: number(3), Zombie: strings.HasPrefix(f[4], "Z"), Args: f[10:],
	}, number(0) > 0
}

func read(pid int) (Info, error) {
	out, err := exec.Command("ps", "-ww", "-o", columns, "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return Info{}, fmt.Errorf("no process %d", pid)
	}
	info, ok := parse(string(out))
	if !ok {
		return Info{}, fmt.Errorf("no process %d", pid)
	}
	return info, nil
}

// boot returns the same id for all boots: start times on these systems are absolute.
func boot() string { return "" }

// marked reports whether a process has the variable mark in its environment.
func marked(pid int, mark string) bool {
	out, err := exec.Command("ps", "-Eww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(" "+string(out)+" ", " "+mark+" ")
}
