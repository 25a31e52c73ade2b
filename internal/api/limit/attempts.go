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

// Method is an authentication method.
type Method string

// The authentication methods. The values are labels of metrics and fields of log lines.
const (
	Signature Method = "signature" // Signature Version 4
	Password  Method = "password"  // Basic authentication
	Form      Method = "form"      // the console's form
	Link      Method = "link"      // a one-time token, of at least 128 random bits
)

const (
	// After freeFailures failed attempts, an address must wait: firstWait, and twice as long after each further failure, at most
	// maxWait. The count is reset after forgetAfter without a failure.
	freeFailures = 5
	firstWait    = time.Second
	maxWait      = 5 * time.Minute
	forgetAfter  = time.Hour
	// knownFor is how long an address is trusted (see Attempts) after a caller has authenticated from it.
	knownFor = 24 * time.Hour
	// maxAddresses is the size of the table of addresses. The least recently seen address is evicted.
	maxAddresses = 10_000
)

// ErrWrong is the result of an attempt with a wrong credential.
var ErrWrong = errors.New("the access key or its secret is wrong")

// WaitError is the result of an attempt from an address that must wait because of too many failures.
type WaitError struct {
	Address string
	Wait    time.Duration
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("too many failed attempts from %s: wait %s", e.Address, e.Wait)
}

// Attempts limits how fast one address can guess credentials. Failures of one address never delay another address.
//
// While an address must wait, its passwords are rejected without a check, even correct ones: otherwise, waiting would not limit
// guessing. Two kinds of attempts are checked even then: one-time tokens, and signatures from trusted addresses, which are
// loopback and the addresses from which a caller has authenticated in the last 24 hours (knownFor). Several users can share such
// an address (users of one machine, a NAT, a load balancer), and none of them must be able to lock the owner out. The price is
// that signatures can be guessed there without a limit. This does not weaken them: anyone who sees one signature can test
// secrets against it offline at any speed, so that only the length of the secret protects it. Secrets are random or have at
// least 16 characters (rayorch serve rejects shorter ones).
type Attempts struct {
	now func() time.Time
	log *slog.Logger

	mu     sync.Mutex
	by     map[netip.Prefix]*list.Element // of *address
	recent *list.List                     // of *address, the most recently seen first
	failed map[Method]int64
	lines  lineBudget
}

// address is the record of an address or an IPv6 network.
type address struct {
	prefix    netip.Prefix
	failures  int
	failed    time.Time // the last failure
	until     time.Time // when the wait ends
	succeeded time.Time // the last success
}

func newAttempts(now func() time.Time, log *slog.Logger) *Attempts {
	return &Attempts{now: now, log: log, by: map[netip.Prefix]*list.Element{}, recent: list.New(), failed: map[Method]int64{}}
}

// Check verifies a credential with proof, which must be fast and take constant time. It returns nil, ErrWrong or a *WaitError.
// Attempts of all addresses are checked one at a time, so that concurrent attempts cannot exceed the limit.
func (a *Attempts) Check(r *http.Request, method Method, key string, proof func() bool) error {
	from := addressOf(r.RemoteAddr)
	a.mu.Lock()
	at, now := a.address(from), a.now()
	wait := at.until.Sub(now)
	if (wait <= 0 || at.checkedAnyway(method, now)) && proof() {
		at.succeeded = now
		a.mu.Unlock()
		return nil
	}
	a.failed[method]++
	if wait <= 0 { // failures during the wait do not extend it: others may share the address
		at.fail(now)
	}
	failures, unlogged := at.failures, a.lines.spend(now)
	a.mu.Unlock()
	if unlogged >= 0 {
		a.log.Warn("failed sign-in attempt", "address", host(r), "method", string(method), "key", shortened(key),
			"failures", failures, "unlogged", unlogged)
	}
	if wait > 0 {
		return &WaitError{host(r), max(time.Second, wait.Round(time.Second))}
	}
	return ErrWrong
}

// Waits returns a *WaitError if Check would reject an attempt without calling proof. It counts such an attempt as failed.
func (a *Attempts) Waits(r *http.Request, method Method) error {
	from := addressOf(r.RemoteAddr)
	a.mu.Lock()
	defer a.mu.Unlock()
	e, there := a.by[from]
	if !there {
		return nil
	}
	at, now := e.Value.(*address), a.now()
	wait := at.until.Sub(now)
	if wait <= 0 || at.checkedAnyway(method, now) {
		return nil
	}
	a.failed[method]++
	return &WaitError{host(r), max(time.Second, wait.Round(time.Second))}
}

// Failed returns the number of failed attempts by method, including those that were rejected without a check.
func (a *Attempts) Failed() map[Method]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.failed)
}

// address returns the record of an address, which it creates if necessary, as the most recently seen. The caller holds a.mu.
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

// checkedAnyway reports whether an attempt is checked even while the address must wait.
func (at *address) checkedAnyway(method Method, now time.Time) bool {
	switch method {
	case Link:
		return true
	case Signature:
		return at.prefix == loopback || !at.succeeded.IsZero() && now.Sub(at.succeeded) < knownFor
	case Password, Form:
	}
	return false
}

// fail counts a failure and sets the end of the wait.
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

// addressOf returns the network that one client can be assumed to control: an IPv4 address, or an IPv6 /64, because
// providers assign at least a /64 to each customer. An address that is not an IP address is a Unix socket's: loopback.
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
	prefix, _ := ip.Prefix(bits) // cannot fail: the bits are in range
	return prefix
}

// host returns the client's IP address for messages.
func host(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// shortened limits how much of the log a caller can fill with the id of a key.
func shortened(key string) string {
	const most = 64
	if len(key) > most {
		return key[:most] + "..."
	}
	return key
}

// lineBudget is a token bucket for log lines: maxLines in a burst, then one every lineEvery.
type lineBudget struct {
	left     int
	filled   time.Time
	unlogged int // lines suppressed since the last one that was logged
}

const (
	maxLines  = 20
	lineEvery = 5 * time.Second
)

// spend takes a line from the budget. It returns how many lines were suppressed since the last one, or -1 if this line must be
// suppressed, too.
func (b *lineBudget) spend(now time.Time) int {
	if more := int(now.Sub(b.filled) / lineEvery); b.filled.IsZero() || more > 0 {
		b.left, b.filled = min(maxLines, b.left+min(more, maxLines)), now
	}
	if b.left == 0 {
		b.unlogged++
		return -1
	}
	b.left--
	unlogged := b.unlogged
	b.unlogged = 0
	return unlogged
}
