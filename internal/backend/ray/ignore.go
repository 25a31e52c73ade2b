package ray

import (
	"path"
	"strings"
)

// ignoreRules are the patterns of one .gitignore file, or of a runtime environment's excludes, as gitignore(5) defines
// them. The matcher is our own: the Go ones that are kept up belong to whole git implementations, the small ones are
// neither kept nor right (** and negation); a test compares it with git itself.
type ignoreRules struct {
	dir   string // the directory of the file, slash-separated, "" for the root
	git   bool   // of a .gitignore file
	rules []ignoreRule
}

type ignoreRule struct {
	parts   []string // of the path pattern
	negated bool
	dirOnly bool
}

func parseIgnore(dir, text string) ignoreRules {
	rules := ignoreRules{dir: dir}
	for line := range strings.Lines(text) {
		if rule, ok := parseIgnoreLine(strings.TrimRight(line, "\r\n")); ok {
			rules.rules = append(rules.rules, rule)
		}
	}
	return rules
}

func parseIgnoreLine(line string) (ignoreRule, bool) {
	line = trimUnescaped(line)
	var rule ignoreRule
	if line == "" || line[0] == '#' {
		return rule, false
	}
	if line[0] == '!' {
		rule.negated, line = true, line[1:]
	}
	if strings.HasSuffix(line, "/") {
		rule.dirOnly, line = true, strings.TrimSuffix(line, "/")
	}
	if line == "" {
		return rule, false
	}
	line = plainSlashes(line)
	if !strings.Contains(line, "/") { // a name alone matches at any depth
		line = "**/" + line
	}
	rule.parts = strings.Split(strings.TrimPrefix(line, "/"), "/")
	return rule, true
}

// plainSlashes takes off the backslash before a slash, which protects nothing: no name has a slash in it.
func plainSlashes(line string) string {
	var plain strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' && i+1 < len(line) {
			if i++; line[i] != '/' {
				plain.WriteByte('\\')
			}
		}
		plain.WriteByte(line[i])
	}
	return plain.String()
}

// trimUnescaped takes off blanks at the end that no backslash protects.
func trimUnescaped(line string) string {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	return line
}

// ignored tells whether the last rule that matches, of all files from the root down, leaves the path out. It does not
// look at the parents: a walk does not enter a directory that is left out.
func ignored(files []ignoreRules, name string, isDir bool) bool {
	for i := len(files) - 1; i >= 0; i-- {
		rel := name
		if dir := files[i].dir; dir != "" {
			rel = strings.TrimPrefix(name, dir+"/")
		}
		for j := len(files[i].rules) - 1; j >= 0; j-- {
			if rule := files[i].rules[j]; (isDir || !rule.dirOnly) && matchParts(rule.parts, strings.Split(rel, "/")) {
				return !rule.negated
			}
		}
	}
	return false
}

// matchParts matches element by element; ** stands for any number of them, at the end for one at least ("a/**" matches
// what is inside of a, not a). Where an element does not fit, only the last ** takes one more: what an earlier one could
// take, the last one can, so that the work is bounded by the product of the lengths.
func matchParts(pattern, name []string) bool {
	p, n := 0, 0
	after, from := -1, 0 // the part behind the last **, and where it was tried last
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			if p++; p == len(pattern) {
				return true
			}
			after, from = p, n
		case p < len(pattern) && matchName(pattern[p], name[n]):
			p, n = p+1, n+1
		case after >= 0:
			from++
			p, n = after, from
		default:
			return false
		}
	}
	return p == len(pattern)
}

// matchName matches one element; a malformed pattern matches nothing, as in git. Git negates a class by ! too.
func matchName(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
	return ok && err == nil
}
