package ray

import (
	"context"
	"time"
)

// CutLines cuts chunks of a log into lines and leaves out the first skip ones, as a Log does.
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

// Ignored tells whether rules of the files, by directory, leave a path out.
func Ignored(texts map[string]string, order []string, name string, isDir bool) bool {
	var files []ignoreRules
	for _, dir := range order {
		files = append(files, parseIgnore(dir, texts[dir]))
	}
	return ignored(files, name, isDir)
}

// PackUpTo is Pack with another limit: to compress 101 MiB takes minutes with the race detector.
func PackUpTo(ctx context.Context, dir string, limit int64) (*Package, error) {
	return Source{Path: dir}.packUpTo(ctx, "", limit)
}

// SetKillWait sets killWait until the function that it returns is called.
func SetKillWait(d time.Duration) (restore func()) {
	before := killWait
	killWait = d
	return func() { killWait = before }
}

// OfHead is ofHead.
var OfHead = ofHead
