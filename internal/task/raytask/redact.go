package raytask

import (
	"encoding/json"
	"strings"
)

// redactor hides the values of secrets in whatever the job says.
type redactor struct{ hidden *strings.Replacer }

// Shorter values would blot out half of any text, and are no secrets.
const shortestSecret = 4

func newRedactor(secrets []string) *redactor {
	var pairs []string
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= shortestSecret {
				pairs = append(pairs, form, "***")
			}
		}
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

// forms are those in which a secret shows: as it is, as JSON has it, and its lines one by one, as logs are lines.
func forms(secret string) []string {
	all := []string{secret}
	if quoted, err := json.Marshal(secret); err == nil {
		all = append(all, strings.Trim(string(quoted), `"`))
	}
	for line := range strings.Lines(secret) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

func (r *redactor) text(s string) string {
	if r == nil {
		return s
	}
	return r.hidden.Replace(s)
}
