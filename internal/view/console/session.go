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
	// A session ends when its browser was away for idleTime, and after fullTime in any case.
	idleTime = 12 * time.Hour
	fullTime = 7 * 24 * time.Hour
	// maxSessions bounds what signing in again and again can take; the one that was away longest goes.
	maxSessions = 1000
)

// sessions are the browsers that signed in, by the hash of what their cookie holds: whoever reads memory or a dump
// finds no cookie.
type sessions struct {
	now func() time.Time

	mu   sync.Mutex
	open map[[32]byte]*session
}

type session struct {
	caller      access.Caller
	began, seen time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, open: map[[32]byte]*session{}}
}

// begin makes the secret of a caller's session.
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

func (s *sessions) over(one *session, now time.Time) bool {
	return now.Sub(one.seen) > idleTime || now.Sub(one.began) > fullTime
}

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

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(id)))
}

// cookieName differs from port to port: cookies do not, and two servers on one machine must not sign each other's
// users out.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "0"
	}
	return "rayorch-" + port
}

// Caller says whose browser a request comes from; false where it has to sign in first. A request that changes something must
// also come from a page of this server: the cookie alone says only which browser it is.
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

// fromOwnPage wants the browser's word for it; what sends neither header is no browser of today.
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
		http.Error(w, "sign in at the console's own page", http.StatusBadRequest)
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

// signIn begins a session in the browser that sent a request.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request, caller access.Caller) {
	setCookie(w, r, c.sessions.begin(caller), int(fullTime.Seconds()))
	w.WriteHeader(http.StatusNoContent)
}

// refuse answers a failed attempt to sign in.
func refuse(w http.ResponseWriter, err error) {
	var wait *limit.WaitError
	if errors.As(err, &wait) {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Wait.Seconds())))
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	http.Error(w, err.Error(), http.StatusForbidden)
}

// logout ends the session; it is no harm to anybody to be signed out by another site, but that cannot be done either.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	if !fromOwnPage(r) {
		http.Error(w, "sign out at the console's own page", http.StatusBadRequest)
		return
	}
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		c.sessions.end(cookie.Value)
	}
	setCookie(w, r, "", -1)
	w.WriteHeader(http.StatusNoContent)
}

// setCookie gives the browser what no script can read and what it sends with requests of this site's pages only.
func setCookie(w http.ResponseWriter, r *http.Request, text string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: text, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil,
		SameSite: http.SameSiteStrictMode,
	})
}
