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

// matchParts matches element by element; ** stands for any number of them. Consecutive ones are one, which bounds the
// work by the product of the lengths.
func matchParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for len(pattern) > 1 && pattern[1] == "**" {
				pattern = pattern[1:]
			}
			return matchAnyDepth(pattern[1:], name)
		}
		if len(name) == 0 || !matchName(pattern[0], name[0]) {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

func matchAnyDepth(rest, name []string) bool {
	if len(rest) == 0 { // "a/**" matches what is inside of a, not a
		return len(name) > 0
	}
	for i := range name {
		if matchParts(rest, name[i:]) {
			return true
		}
	}
	return false
}

// matchName matches one element; a malformed pattern matches nothing, as in git. Git negates a class by ! too.
func matchName(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
	return ok && err == nil
}
