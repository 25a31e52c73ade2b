package limit

import (
	"container/list"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Way is how a caller tries to prove who it is.
type Way string

// The ways in.
const (
	Signature Way = "signature" // Signature Version 4
	Password  Way = "password"  // Basic authentication
	Form      Way = "form"      // the console's form
	Link      Way = "link"      // a one-time token, of at least 128 random bits
)

const (
	// After freeFailures failed attempts an address waits: firstWait, and twice as long after each further one, at most
	// maxWait. An hour without a failed attempt clears it.
	freeFailures = 5
	firstWait    = time.Second
	maxWait      = 5 * time.Minute
	forgetAfter  = time.Hour
	// knownFor is how long an address counts as known after a caller has authenticated from it.
	knownFor = 24 * time.Hour
	// maxAddresses bounds the table: the address that was quiet longest goes.
	maxAddresses = 10_000
)

// ErrWrong says that a credential is not right.
var ErrWrong = errors.New("the access key or its secret is wrong")

// WaitError says that an address has failed too often.
type WaitError struct {
	Address string
	Wait    time.Duration
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("too many failed attempts from %s: wait %s", e.Address, e.Wait)
}

// Attempts bounds how fast one address can guess credentials. There is no lockout for all: an address that fails makes
// nobody else wait.
//
// An address that waits has its passwords refused without a look, right or wrong, or waiting would bound nothing. What
// proves a credential by cryptography is looked at in two cases: a one-time token always, and a signature if the address
// is loopback's or a caller has authenticated from it before. Such addresses are shared (users of one machine,
// a NAT, a load balancer), and those who share them must not be able to lock the owner out. What this gives away is the
// bound on guesses of signatures there; but whoever sees one signature can try secrets at home as fast as they like, so
// that only the secret's length protects it: secrets are random or have at least 16 characters (rayorch serve refuses shorter ones).
type Attempts struct {
	now func() time.Time
	log *slog.Logger

	mu     sync.Mutex
	by     map[netip.Prefix]*list.Element // of *address
	recent *list.List                     // the one heard of last is in front
	failed map[Way]int64
	words  words
}

// address is what is known of one.
type address struct {
	prefix        netip.Prefix
	failures      int
	failed, until time.Time
	succeeded     time.Time
}

func newAttempts(now func() time.Time, log *slog.Logger) *Attempts {
	return &Attempts{now: now, log: log, by: map[netip.Prefix]*list.Element{}, recent: list.New(), failed: map[Way]int64{}}
}

// Check compares a credential by proof, which must be quick and take the same time whatever is wrong. It gives nil,
// ErrWrong, or a *WaitError. Attempts of all are checked one after the other, so that many at once are no way around it.
func (a *Attempts) Check(r *http.Request, way Way, key string, proof func() bool) error {
	from := addressOf(r.RemoteAddr)
	a.mu.Lock()
	at, now := a.address(from), a.now()
	wait := at.until.Sub(now)
	if (wait <= 0 || at.checkedAnyway(way, now)) && proof() {
		at.succeeded = now
		a.mu.Unlock()
		return nil
	}
	a.failed[way]++
	if wait <= 0 { // or continued guessing would never end the wait of others at this address
		at.fail(now)
	}
	failures, left := at.failures, a.words.spend(now)
	a.mu.Unlock()
	if left >= 0 {
		a.log.Warn("failed attempt to sign in", "address", host(r), "way", string(way), "key", shortened(key),
			"failures", failures, "unlogged", left)
	}
	if wait > 0 {
		return &WaitError{host(r), max(time.Second, wait.Round(time.Second))}
	}
	return ErrWrong
}

// Waits gives a *WaitError if an attempt would be refused without a check.
func (a *Attempts) Waits(r *http.Request, way Way) error {
	from := addressOf(r.RemoteAddr)
	a.mu.Lock()
	defer a.mu.Unlock()
	e, there := a.by[from]
	if !there {
		return nil
	}
	at, now := e.Value.(*address), a.now()
	wait := at.until.Sub(now)
	if wait <= 0 || at.checkedAnyway(way, now) {
		return nil
	}
	a.failed[way]++
	return &WaitError{host(r), max(time.Second, wait.Round(time.Second))}
}

// Failed counts the failed attempts, and those that were refused without a check, by method.
func (a *Attempts) Failed() map[Way]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.failed)
}

// address finds or makes an entry, as the latest.
func (a *Attempts) address(from netip.Prefix) *address {
	e, there := a.by[from]
	if there {
		a.recent.MoveToFront(e)
		return e.Value.(*address)
	}
	if a.recent.Len() >= maxAddresses {
		oldest := a.recent.Back()
		delete(a.by, oldest.Value.(*address).prefix)
		a.recent.Remove(oldest)
	}
	at := &address{prefix: from}
	a.by[from] = a.recent.PushFront(at)
	return at
}

func (at *address) checkedAnyway(way Way, now time.Time) bool {
	switch way {
	case Link:
		return true
	case Signature:
		return at.prefix == loopback || !at.succeeded.IsZero() && now.Sub(at.succeeded) < knownFor
	case Password, Form:
	}
	return false
}

func (at *address) fail(now time.Time) {
	if now.Sub(at.failed) > forgetAfter {
		at.failures = 0
	}
	at.failures++
	at.failed = now
	if over := at.failures - freeFailures; over >= 0 {
		at.until = now.Add(min(maxWait, firstWait<<min(over, 20)))
	}
}

// loopback stands for all of a machine's own addresses: 127.0.0.0/8 has 16 million of them.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

// addressOf is whom a remote address belongs to, as far as one can tell: IPv6 users have a /64 at least. A socket without
// addresses is of this machine.
func addressOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	ip := at.Addr().Unmap().WithZone("")
	if err != nil || ip.IsLoopback() {
		return loopback
	}
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits) // the bits are in range
	return prefix
}

// host is the address as people read it.
func host(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// shortened bounds what a caller can write into the log.
func shortened(key string) string {
	const most = 64
	if len(key) > most {
		return key[:most] + "..."
	}
	return key
}

// words bounds the lines of the log: some at once, and then one in a while.
type words struct {
	left     int
	filled   time.Time
	unlogged int
}

const (
	maxWords  = 20
	wordEvery = 5 * time.Second
)

// spend gives how many lines were left out since the last one, or -1 if this one is to be left out as well.
func (w *words) spend(now time.Time) int {
	if more := int(now.Sub(w.filled) / wordEvery); w.filled.IsZero() || more > 0 {
		w.left, w.filled = min(maxWords, w.left+min(more, maxWords)), now
	}
	if w.left == 0 {
		w.unlogged++
		return -1
	}
	w.left--
	unlogged := w.unlogged
	w.unlogged = 0
	return unlogged
}
