package joblog

import (
	"encoding/json"
	"strings"
)

// Redactor hides the values of secrets in whatever a job says. The zero value hides nothing.
type Redactor struct{ hidden *strings.Replacer }

// Shorter values would blot out half of any text, and are no secrets.
const shortestSecret = 4

// NewRedactor hides each secret in the forms in which it shows.
func NewRedactor(secrets []string) Redactor {
	var pairs []string
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= shortestSecret {
				pairs = append(pairs, form, "***")
			}
		}
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

// forms are the secret as it is, as JSON has it, and its lines one by one, as logs are lines.
func forms(secret string) []string {
	all := []string{secret}
	if quoted, err := json.Marshal(secret); err == nil {
		all = append(all, string(quoted[1:len(quoted)-1]))
	}
	for line := range strings.Lines(secret) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

// Text is s without the secrets.
func (r Redactor) Text(s string) string {
	if r.hidden == nil {
		return s
	}
	return r.hidden.Replace(s)
}
