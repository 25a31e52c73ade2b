package snapshot

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// gitTime is the maximum time that git may take. A start must not wait longer for information that is only displayed.
const gitTime = 5 * time.Second

// Commit returns the git commit of a source, and whether the source's files differ from the commit. The commit is "" outside of a
// repository, and without git.
func Commit(ctx context.Context, of Source) (commit string, dirty bool) {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	dir, file := of.Path, "."
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir, file = filepath.Split(dir)
	}
	commit, ok := git(ctx, dir, "rev-parse", "--verify", "HEAD")
	if !ok {
		return "", false
	}
	changes, ok := git(ctx, dir, append(withoutFilters(ctx, dir), "status", "--porcelain", "--", file)...)
	return commit, changes != "" || !ok
}

// withoutFilters returns flags that disable the filters in the repository's configuration, which are programs. Git detects changed files
// without them, too.
func withoutFilters(ctx context.Context, dir string) (flags []string) {
	names, _ := git(ctx, dir, "config", "--name-only", "--get-regexp", `^filter\..*\.(clean|process|required)$`)
	for name := range strings.Lines(names) {
		flags = append(flags, "-c", strings.TrimSpace(name)+"=")
	}
	return flags
}

// git runs git without taking its locks and without running programs that a repository's configuration names.
func git(ctx context.Context, dir string, args ...string) (out string, ok bool) {
	c := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	c.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0")
	text, err := c.Output()
	return strings.TrimSpace(string(text)), err == nil
}
