package ray

import (
	"path/filepath"
	"slices"
	"strings"
)

// keyFiles matches files that usually contain keys or passwords. They are packed only if a pattern with ! re-includes them. Files such as
// .env.example are templates and contain no secrets.
var keyFiles = parseIgnore("", ".env\n.env.*\n!.env.example\n!.env.sample\n!.env.template\n"+
	"*.pem\nid_rsa\nid_dsa\nid_ecdsa\nid_ed25519\n**/.aws/credentials\n")

// keyFile reports whether a path matches keyFiles and the patterns do not re-include it. Patterns of .gitignore files do not count,
// because they are not about packages.
func keyFile(rules []ignoreRules, rel string, isDir bool) bool {
	again := []ignoreRules{keyFiles}
	if !ignored(again, rel, isDir) {
		return false
	}
	for _, r := range rules {
		if _, governs := below("/"+r.dir, "/"+rel); governs && !r.git {
			again = append(again, withoutWildcards(r))
		}
	}
	return ignored(again, rel, isDir)
}

// withoutWildcards removes patterns that re-include every name, such as !src/**: a key file must be re-included by its name.
func withoutWildcards(r ignoreRules) ignoreRules {
	r.rules = slices.DeleteFunc(slices.Clone(r.rules), func(rule ignoreRule) bool {
		return rule.negated && strings.Trim(rule.parts[len(rule.parts)-1], "*") == ""
	})
	return r
}

// below returns the path relative to a directory, slash-separated. ok is false if the path is not in the directory.
func below(dir, path string) (rel string, ok bool) {
	rel, err := filepath.Rel(dir, path)
	return filepath.ToSlash(rel), err == nil && filepath.IsLocal(rel)
}
