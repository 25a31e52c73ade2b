package console

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/limit"
)

const (
	// A session expires maxIdle after its last use, and maxAge after sign-in.
	maxIdle = 12 * time.Hour
	maxAge  = 7 * 24 * time.Hour
	// maxSessions is the maximum number of sessions. A new session replaces the least recently used one.
	maxSessions = 1000
)

// sessions are the sessions of browsers, by the SHA-256 hash of the cookie's value, so that a memory dump does not contain valid cookies.
type sessions struct {
	now func() time.Time

	mu   sync.Mutex
	open map[[32]byte]*session
}

// session is the session of a browser. began is the time of sign-in, seen that of the last request.
type session struct {
	caller      access.Caller
	began, seen time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, open: map[[32]byte]*session{}}
}

// begin creates a session, and returns the value of its cookie.
func (s *sessions) begin(caller access.Caller) string {
	id := rand.Text()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest [32]byte
	for hash, one := range s.open {
		if s.over(one, now) {
			delete(s.open, hash)
		} else if first := s.open[oldest]; first == nil || one.seen.Before(first.seen) {
			oldest = hash
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
	s.open[sha256.Sum256([]byte(id))] = &session{caller: caller, began: now, seen: now}
	return id
}

// over reports whether a session has expired.
func (s *sessions) over(one *session, now time.Time) bool {
	return now.Sub(one.seen) > maxIdle || now.Sub(one.began) > maxAge
}

// caller returns the caller of a session, and marks the session as used. It returns false if there is no such session.
func (s *sessions) caller(id string) (access.Caller, bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[sha256.Sum256([]byte(id))]
	if one == nil || s.over(one, now) {
		return access.Caller{}, false
	}
	one.seen = now
	return one.caller, true
}

// end removes a session.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(id)))
}

// cookieName contains the port of the server, because browsers share cookies between all ports of a host: two servers on one machine would
// sign each other's users out.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "0"
	}
	return "rayorch-" + port
}

// Caller returns the signed-in user of a request's browser. It returns false if the browser must sign in, and for a request that can change
// something and does not come from a page of this server: pages of other sites can make a browser send its cookie (CSRF).
func (c *Console) Caller(r *http.Request) (access.Caller, bool) {
	if c.cfg.Open {
		return access.Caller{Role: access.Admin}, true
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || r.Method != http.MethodGet && r.Method != http.MethodHead && !fromOwnPage(r) {
		return access.Caller{}, false
	}
	return c.sessions.caller(cookie.Value)
}

// fromOwnPage reports whether a request comes from a page of this server, according to the headers that browsers set. All current browsers
// send at least one of them; a request without both is rejected.
func fromOwnPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host == r.Host
}

// login exchanges an access key and its secret for a session.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Key, Secret string }
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<14)).Decode(&in)
	if err != nil || r.Header.Get("Content-Type") != "application/json" || !fromOwnPage(r) {
		http.Error(w, "sign in on the console's own page", http.StatusBadRequest)
		return
	}
	var caller access.Caller
	err = c.cfg.Limits.Attempts.Check(r, limit.Form, in.Key, func() (ok bool) {
		caller, ok = c.cfg.Keys.Check(in.Key, in.Secret)
		return ok
	})
	if err != nil {
		refuse(w, err)
		return
	}
	c.signIn(w, r, caller)
}

// signIn creates a session for the browser that sent a request.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request, caller access.Caller) {
	setCookie(w, r, c.sessions.begin(caller), int(maxAge.Seconds()))
	w.WriteHeader(http.StatusNoContent)
}

// refuse responds to a failed sign-in attempt.
func refuse(w http.ResponseWriter, err error) {
	var wait *limit.WaitError
	if errors.As(err, &wait) {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Wait.Seconds())))
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	http.Error(w, err.Error(), http.StatusForbidden)
}

// logout ends the session. Pages of other sites cannot sign a user out.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	if !fromOwnPage(r) {
		http.Error(w, "sign out on the console's own page", http.StatusBadRequest)
		return
	}
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		c.sessions.end(cookie.Value)
	}
	setCookie(w, r, "", -1)
	w.WriteHeader(http.StatusNoContent)
}

// setCookie sets the session cookie. Scripts cannot read it (HttpOnly), and browsers send it only with requests of this site (SameSite).
func setCookie(w http.ResponseWriter, r *http.Request, text string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: text, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil,
		SameSite: http.SameSiteStrictMode,
	})
}
