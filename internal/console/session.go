package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/limit"
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
	keys map[string]string
	now  func() time.Time

	mu   sync.Mutex
	open map[[32]byte]*session
}

type session struct{ began, seen time.Time }

func newSessions(keys map[string]string, now func() time.Time) *sessions {
	return &sessions{keys: keys, now: now, open: map[[32]byte]*session{}}
}

// begin makes a session's secret.
func (s *sessions) begin() string {
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
	s.open[sha256.Sum256([]byte(id))] = &session{began: now, seen: now}
	return id
}

func (s *sessions) over(one *session, now time.Time) bool {
	return now.Sub(one.seen) > idleTime || now.Sub(one.began) > fullTime
}

func (s *sessions) valid(id string) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[sha256.Sum256([]byte(id))]
	if one == nil || s.over(one, now) {
		return false
	}
	one.seen = now
	return true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(id)))
}

// check compares a secret. It takes as long for a key that is unknown.
func (s *sessions) check(key, secret string) bool {
	want, known := s.keys[key]
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && known
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

// SignedIn says that a request may go on: no key is needed, or its browser signed in with one. A request that changes
// something must also come from a page of this server: the cookie alone says only which browser it is.
func (c *Console) SignedIn(r *http.Request) bool {
	if len(c.cfg.Keys) == 0 {
		return true
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || !c.sessions.valid(cookie.Value) {
		return false
	}
	return r.Method == http.MethodGet || r.Method == http.MethodHead || fromOwnPage(r)
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
	err = c.cfg.Limits.Attempts.Check(r, limit.Form, in.Key, func() bool { return c.sessions.check(in.Key, in.Secret) })
	if err != nil {
		refuse(w, err)
		return
	}
	setCookie(w, r, c.sessions.begin(), int(fullTime.Seconds()))
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
