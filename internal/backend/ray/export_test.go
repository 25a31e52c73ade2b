package ray

import (
	"context"
	"time"
)

// CutLines splits chunks of a log into lines and drops the first skip lines, as a Log does.
func CutLines(skip int, chunks ...string) []string {
	var lines []string
	log := (&Client{}).NewLog("", skip, func(line string) { lines = append(lines, line) })
	counter := &lineCounter{log: log}
	for _, chunk := range chunks {
		counter.write(chunk)
	}
	counter.close()
	return lines
}

// Ignored reports whether ignore files exclude a path. texts contains the files by directory; order lists the directories from the root.
func Ignored(texts map[string]string, order []string, name string, isDir bool) bool {
	var files []ignoreRules
	for _, dir := range order {
		files = append(files, parseIgnore(dir, texts[dir]))
	}
	return ignored(files, name, isDir)
}

// PackUpTo is Pack with a smaller limit: with the race detector, compressing 101 MiB takes minutes.
func PackUpTo(ctx context.Context, dir string, limit int64) (*Package, error) {
	return Source{Path: dir}.packUpTo(ctx, "", limit)
}

// SetKillWait sets killWait until the returned function is called.
func SetKillWait(d time.Duration) (restore func()) {
	before := killWait
	killWait = d
	return func() { killWait = before }
}

// OfHead exports ofHead for tests.
var OfHead = ofHead
