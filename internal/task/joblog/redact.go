package joblog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
)

// Redactor hides the values of secrets in whatever a job says. The zero value hides nothing.
type Redactor struct{ hidden *strings.Replacer }

const (
	// Shorter values would blot out half of any text, and are no secrets.
	shortestSecret = 4
	// Of base64, less would be found where it only looks alike.
	shortestEncoded = 8
)

// NewRedactor hides each secret in the forms in which it shows.
func NewRedactor(secrets []string) Redactor {
	var all []string
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= shortestSecret {
				all = append(all, form)
			}
		}
	}
	// Of two that start alike, the longer one must be found.
	slices.SortStableFunc(all, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range all {
		pairs = append(pairs, form, "***")
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

// forms are the secret as it is, as JSON, URLs, Python's repr and base64 have it, and its lines one by one, as logs are lines.
func forms(secret string) []string {
	all := []string{secret, inJSON(secret, true), inJSON(secret, false), inASCII(secret), inRepr(secret),
		url.QueryEscape(secret), url.PathEscape(secret)}
	for line := range strings.Lines(secret) {
		all = append(all, strings.TrimSpace(line))
	}
	if len(secret) >= shortestSecret {
		all = append(all, inBase64(secret)...)
	}
	return all
}

// inJSON is the secret inside a JSON string.
func inJSON(secret string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if e.Encode(secret) != nil {
		return ""
	}
	return string(b.Bytes()[1 : b.Len()-2]) // without quotes and line end
}

// inASCII is the secret inside a JSON string as Python writes it.
func inASCII(secret string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(inJSON(secret, false))) {
		if unit < 0x80 {
			b.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// inRepr is the secret as Python's repr writes it, without the quotes.
func inRepr(secret string) string {
	text := strings.ReplaceAll(inJSON(secret, false), `\"`, `"`)
	if strings.Contains(secret, `"`) { // the quotes are ' then
		text = strings.ReplaceAll(text, "'", `\'`)
	}
	return text
}

// inBase64 is what is certain of the secret's base64 wherever it stands in the encoded text, as in a header for Basic
// authentication: three bytes are four characters, so that there are three ways.
func inBase64(secret string) []string {
	var all []string
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("-", before) + secret))
		text = text[(before*8+5)/6 : (before+len(secret))*8/6]
		if len(text) >= shortestEncoded {
			all = append(all, text, strings.NewReplacer("+", "-", "/", "_").Replace(text))
		}
	}
	return append(all, base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)))
}

// Text is s without the secrets.
func (r Redactor) Text(s string) string {
	if r.hidden == nil {
		return s
	}
	return r.hidden.Replace(s)
}
