package api

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// replays rejects replayed requests: a request with effects that an attacker recorded and sends again is not carried out again.
// For this, it remembers the signatures of such requests for as long as they are valid.
//
// The signature alone does not identify a request. boto3 and the AWS CLI do not sign the id of a call (amz-sdk-invocation-id, a
// random UUID that all AWS SDKs send), and the signed time has a resolution of one second. So two StartExecution calls with the
// same input within a second have the same signature, and AWS starts two executions. Therefore, a known signature with another
// id counts as another call if it arrives soon after the first one (burst), because two genuine calls with the same signature
// arrive at most that far apart. The SDK for Go signs the id, so each of its signatures is valid once. If a request has no id,
// its signature is valid once.
type replays struct {
	now func() time.Time
	// since is the earliest time of signatures that are accepted: an earlier process could have carried out older requests.
	since time.Time

	mu     sync.Mutex
	turned time.Time // when recent was last replaced
	// Two generations of entries: recent becomes older when keepReplays has passed or it is full, and older is dropped. The keys
	// are hashes (replayKey), the values the times of the first request.
	recent, older map[[16]byte]time.Time
}

const (
	// burst is how long after the first request another call with the same signature is accepted.
	burst = 5 * time.Second
	// keepReplays is how long a signature can be valid: clocks may differ by maxSkew in both directions.
	keepReplays = 2 * maxSkew
	// maxReplays limits the memory to about 50 MB. At more than 800 requests with effects per second, the oldest entries are
	// dropped early.
	maxReplays = 1 << 19
)

func newReplays(now func() time.Time) *replays {
	at := now()
	return &replays{now: now, since: at.Add(-burst), turned: at, recent: map[[16]byte]time.Time{}}
}

// use marks the signature of a request as used, and returns an error if it was used before. undo makes the signature valid
// again if the request was not carried out, because SDKs retry it with the same signature within the same second.
func (p *replays) use(c *claim, r *http.Request) (undo func(), err error) {
	if !c.signed {
		return func() {}, nil
	}
	if c.at.Before(p.since) {
		return func() {}, denied("InvalidSignatureException", "Signature expired: "+c.at.Format(sigTime)+
			" is earlier than the start of the server")
	}
	id := r.Header.Get("amz-sdk-invocation-id")
	signature, call := replayKey(c.sig.signature), replayKey(c.sig.signature+"\n"+id)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.turn(now)
	first, used := p.find(signature)
	if used && (id == "" || now.Sub(first) > burst || p.has(call) || p.has(replayKey(c.sig.signature+"\n"))) {
		return func() {}, denied("InvalidSignatureException", "The signature has been used before: "+
			"sign each request separately; to start several executions in one second, give them names")
	}
	p.recent[call] = now
	if !used {
		p.recent[signature] = now
	}
	return func() { p.forget(call, signature, !used) }, nil
}

// forget removes the entry of a call, and with both also that of its signature.
func (p *replays) forget(call, signature [16]byte, both bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, kept := range []map[[16]byte]time.Time{p.recent, p.older} {
		delete(kept, call)
		if both {
			delete(kept, signature)
		}
	}
}

// find returns the time of an entry in either generation. The caller holds p.mu.
func (p *replays) find(key [16]byte) (time.Time, bool) {
	if at, ok := p.recent[key]; ok {
		return at, true
	}
	at, ok := p.older[key]
	return at, ok
}

func (p *replays) has(key [16]byte) bool {
	_, ok := p.find(key)
	return ok
}

// turn starts a new generation of entries if it is time.
func (p *replays) turn(now time.Time) {
	if now.Sub(p.turned) > keepReplays || len(p.recent) >= maxReplays {
		p.older, p.recent, p.turned = p.recent, map[[16]byte]time.Time{}, now
	}
}

// replayKey returns half of a SHA-256 hash, to save memory.
func replayKey(text string) [16]byte {
	sum := sha256.Sum256([]byte(text))
	return [16]byte(sum[:])
}
