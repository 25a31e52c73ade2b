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

// tokenTime is how long a link signs in.
const tokenTime = 5 * time.Minute

// tokens are those of the links that have not been used, by hash, as sessions are, with the time until which they are valid.
type tokens struct {
	now func() time.Time

	mu    sync.Mutex
	until map[[32]byte]time.Time
}

func newTokens(now func() time.Time) *tokens {
	return &tokens{now: now, until: map[[32]byte]time.Time{}}
}

func (t *tokens) create() string {
	token, now := rand.Text(), t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for hash, until := range t.until {
		if now.After(until) {
			delete(t.until, hash)
		}
	}
	t.until[sha256.Sum256([]byte(token))] = now.Add(tokenTime)
	return token
}

// use is true once for a token.
func (t *tokens) use(token string) bool {
	hash := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	until, known := t.until[hash]
	delete(t.until, hash)
	return known && !t.now().After(until)
}

// Link is what follows the address of the console in a link that signs one browser in, once and within five minutes, as the
// owner. page is shown after that, such as execution/ARN. The token is in the fragment, which no server or proxy sees.
func (c *Console) Link(page string) string {
	if page != "" {
		page = "/" + page
	}
	return "#/login/" + c.tokens.create() + page
}

// exchange takes a link's token for a session.
func (c *Console) exchange(w http.ResponseWriter, r *http.Request) {
	var in struct{ Token string }
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&in)
	if err != nil || r.Header.Get("Content-Type") != "application/json" || !fromOwnPage(r) {
		http.Error(w, "open the link in a browser", http.StatusBadRequest)
		return
	}
	err = c.cfg.Limits.Attempts.Check(r, limit.Link, "", func() bool { return c.tokens.use(in.Token) })
	if err != nil {
		http.Error(w, "The link was already used, or it is older than 5 minutes: the command rayorch console prints another one.", http.StatusForbidden)
		return
	}
	c.signIn(w, r, access.Caller{Role: access.Admin})
}
