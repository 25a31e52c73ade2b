package console

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
)

// tokenLifetime is how long a link is valid.
const tokenLifetime = 5 * time.Minute

// tokens are the tokens of unused links, by their SHA-256 hash, with the times when they expire.
type tokens struct {
	now func() time.Time

	mu    sync.Mutex
	until map[[32]byte]time.Time
}

func newTokens(now func() time.Time) *tokens {
	return &tokens{now: now, until: map[[32]byte]time.Time{}}
}

// create returns a new token, and removes expired ones.
func (t *tokens) create() string {
	token, now := rand.Text(), t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for hash, until := range t.until {
		if now.After(until) {
			delete(t.until, hash)
		}
	}
	t.until[sha256.Sum256([]byte(token))] = now.Add(tokenLifetime)
	return token
}

// use reports whether a token is valid, and invalidates it.
func (t *tokens) use(token string) bool {
	hash := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	until, known := t.until[hash]
	delete(t.until, hash)
	return known && !t.now().After(until)
}

// Link creates a link that signs one browser in as the owner, once, within five minutes. It returns the part of the link after the URL of
// the console. After sign-in, the browser shows page, such as execution/ARN. The token is in the fragment of the URL, which browsers do not
// send to servers or proxies.
func (c *Console) Link(page string) string {
	if page != "" {
		page = "/" + page
	}
	return "#/login/" + c.tokens.create() + page
}

// exchange exchanges the token of a link for a session.
func (c *Console) exchange(w http.ResponseWriter, r *http.Request) {
	var in struct{ Token string }
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&in)
	if err != nil || r.Header.Get("Content-Type") != "application/json" || !fromOwnPage(r) {
		http.Error(w, "the request does not come from a page of the console: open the link in a browser", http.StatusBadRequest)
		return
	}
	err = c.cfg.Limits.Attempts.Check(r, limit.Link, "", func() bool { return c.tokens.use(in.Token) })
	if err != nil {
		http.Error(w, "The link was already used, or it is older than 5 minutes. To get a new link, run rayorch console.", http.StatusForbidden)
		return
	}
	c.signIn(w, r, access.Caller{Role: access.Admin})
}
