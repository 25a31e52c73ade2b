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

// Redactor replaces the values of secrets in text that comes from a job by ***. The zero value replaces nothing.
type Redactor struct{ hidden *strings.Replacer }

const (
	// shortestSecret is the minimum length of a value that is redacted: shorter ones are not secrets and occur in any text.
	shortestSecret = 4
	// shortestEncoded is the minimum length of a part of a base64 text that is redacted: shorter ones match by chance.
	shortestEncoded = 8
)

// NewRedactor returns a Redactor for the secrets, including their usual encodings.
func NewRedactor(secrets []string) Redactor {
	var all []string
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= shortestSecret {
				all = append(all, form)
			}
		}
	}
	// If one form is a prefix of another, the longer one must be found first.
	slices.SortStableFunc(all, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range all {
		pairs = append(pairs, form, "***")
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

// forms returns the texts in which a secret can appear: itself; encoded for JSON, for URLs, by Python's repr, and in base64; and each of
// its lines, because logs are processed line by line.
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

// inJSON returns the secret as it appears inside a JSON string.
func inJSON(secret string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if e.Encode(secret) != nil {
		return ""
	}
	return string(b.Bytes()[1 : b.Len()-2]) // without quotes and line end
}

// inASCII returns the secret as it appears inside a JSON string that Python wrote: in ASCII.
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

// inRepr returns the secret as Python's repr writes it, without the quotes.
func inRepr(secret string) string {
	text := strings.ReplaceAll(inJSON(secret, false), `\"`, `"`)
	if strings.Contains(secret, `"`) { // then repr uses ' as the quote
		text = strings.ReplaceAll(text, "'", `\'`)
	}
	return text
}

// inBase64 returns the characters that base64 encodes the secret as, wherever the secret is in a longer text, such as an
// Authorization header of type Basic. Base64 encodes three bytes as four characters, so the characters depend on the offset of the
// secret modulo 3. Characters that also depend on the surrounding bytes are left out.
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

// Text returns s with the secrets redacted.
func (r Redactor) Text(s string) string {
	if r.hidden == nil {
		return s
	}
	return r.hidden.Replace(s)
}
