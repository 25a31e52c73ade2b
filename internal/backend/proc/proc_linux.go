package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// List returns all processes, except for those that end while it reads them.
func List() ([]Info, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if info, err := read(pid); err == nil {
			info.Args = args(pid)
			all = append(all, info)
		}
	}
	return all, nil
}

// read parses /proc/PID/stat (see proc(5)). The name of the program, in parentheses, can contain any characters, so the fields are
// counted from the last parenthesis.
func read(pid int) (Info, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return Info{}, err
	}
	_, rest, _ := strings.Cut(string(data[bytes.LastIndexByte(data, ')')+1:]), " ")
	f := strings.Fields(rest)
	if len(f) < 20 {
		return Info{}, fmt.Errorf("%s has %d fields", path, len(f))
	}
	number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	info := Info{
		ID: ID{PID: pid, Start: boot() + "/" + f[19]}, Parent: number(1), Group: number(2), Session: number(3),
		UID: -1, Zombie: f[0] == "Z" || f[0] == "X",
	}
	var stat syscall.Stat_t
	if syscall.Stat(fmt.Sprintf("/proc/%d", pid), &stat) == nil {
		info.UID = int(stat.Uid)
	}
	return info, nil
}

// boot returns an id of the current boot. Start times are relative to the boot, so they identify a process only together with it.
func boot() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	id, _, _ := strings.Cut(string(data), "-")
	return id
}

func args(pid int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

// marked reports whether a process was started with the variable mark in its environment. It may fail for a process that has
// overwritten its environment, as programs do that change their title.
func marked(pid int, mark string) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, data...), []byte("\x00"+mark+"\x00"))
}
