package ray

import (
	"path"
	"strings"
)

// ignoreRules are the patterns of a .gitignore or .rayignore file, or of the excludes of a runtime environment, as gitignore(5) defines
// them. rayorch has its own matcher: the maintained Go packages are parts of complete git implementations, and the small ones are not
// maintained and handle ** and negation incorrectly. A test compares the matcher with git.
type ignoreRules struct {
	dir   string // directory of the file, slash-separated; "" is the root
	git   bool   // whether it is a .gitignore file
	rules []ignoreRule
}

// ignoreRule is a pattern.
type ignoreRule struct {
	parts   []string // elements of the path pattern
	negated bool     // the pattern started with !
	dirOnly bool     // the pattern ended with /
}

// parseIgnore parses the text of an ignore file in a directory.
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

// plainSlashes removes backslashes before slashes: they have no meaning, because names do not contain slashes.
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

// trimUnescaped removes trailing spaces that are not escaped with a backslash.
func trimUnescaped(line string) string {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	return line
}

// ignored reports whether a path is excluded: the last matching rule of all files, ordered from the root down, decides. It does not check
// the parent directories, because the walker does not enter excluded directories.
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

// matchParts matches a path against a pattern, element by element. ** matches any number of elements; at the end, it matches at least one
// ("a/**" matches everything in a, but not a). After a mismatch, it backtracks only to the last **, which then matches one more element:
// earlier ones need not be tried again, because the last one can match whatever they could. So the run time is at most proportional to
// the product of the lengths.
func matchParts(pattern, name []string) bool {
	p, n := 0, 0
	after, from := -1, 0 // index in pattern after the last **, and the index in name where this part was last tried
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

// matchName matches one element. As in git, a malformed pattern matches nothing, and ! also negates a character class.
func matchName(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
	return ok && err == nil
}
