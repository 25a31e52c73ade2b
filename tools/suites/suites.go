package main

import "time"

// suite is one command, run at the repository's root, and how its output is read.
type suite struct {
	name    string
	command []string
	dir     string // below the root
	read    func(output []byte, exit error) result
	limit   time.Duration
	// cluster says that tests of it need the Kubernetes of e2e/cluster; outlives, that what it starts is to run on.
	cluster, outlives bool
}

// suites are all of them, the quick ones first. Each needs what `make test-setup` makes.
var suites = []suite{
	{name: "format", command: []string{"sh", "scripts/format"}, read: readPlain, limit: time.Minute},
	{name: "lint", command: []string{".tools/bin/golangci-lint", "run", "--allow-parallel-runners"}, read: readPlain, limit: 15 * time.Minute},
	{name: "vulnerabilities", command: []string{"sh", "scripts/vulnerabilities"}, read: readPlain, limit: 10 * time.Minute},
	{name: "go, race", command: []string{"sh", "scripts/go-test"}, read: readGo, limit: 50 * time.Minute, cluster: true},
	{name: "fuzz", command: []string{"sh", "scripts/fuzz", "500x"}, read: readPlain, limit: 20 * time.Minute},
	{name: "tools", command: []string{"go", "test", "-json", "./suites"}, dir: "tools", read: readGo, limit: 5 * time.Minute},
	{name: "shakespeare", command: []string{"python", "-m", "unittest", "-v"}, dir: "examples/shakespeare", read: readUnittest, limit: 10 * time.Minute},
	{name: "gptj", command: []string{"python", "-m", "unittest", "-v"}, dir: "examples/gptj", read: readUnittest, limit: 10 * time.Minute},
	{name: "demo", command: []string{"sh", "scripts/demo-test"}, read: readPlain, limit: 10 * time.Minute},
}
