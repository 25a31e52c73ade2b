package api

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// replays remembers the signatures of requests that change something, for as long as they are valid: a request that
// somebody recorded and sends again is not carried out again.
//
// A signature alone is not enough to tell. boto3 and the AWS CLI sign neither the id of a call (amz-sdk-invocation-id, a
// random UUID that all AWS SDKs send) nor anything finer than a second, so two StartExecution calls of the same second and
// input have the same signature, and AWS starts two executions. So the same signature with another id is taken for another call,
// but only for a moment after the first (burst): that is how far apart such calls can arrive. The SDK for Go signs the id:
// each of its signatures is good once. Without an id every signature is good once.
type replays struct {
	now func() time.Time
	// since is the oldest time that a signature may carry: an earlier process may have carried out the request.
	since time.Time

	mu     sync.Mutex
	turned time.Time
	// Entries move to older by all of them at a time, and are then forgotten.
	recent, older map[[16]byte]time.Time
}

const (
	burst = 5 * time.Second
	// A signature stays valid for as long as clocks may differ, in both directions.
	keepReplays = 2 * maxSkew
	// maxReplays bounds the memory, to some 50 MB: beyond 800 such requests a second the oldest are forgotten early.
	maxReplays = 1 << 19
)

func newReplays(now func() time.Time) *replays {
	at := now()
	return &replays{now: now, since: at.Add(-burst), turned: at, recent: map[[16]byte]time.Time{}}
}

// use takes a signature as used. undo makes it good again, for a request that was not carried out: SDKs send it again
// within the same second.
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
		return func() {}, denied("InvalidSignatureException", "The signature has been used before: sign each request anew, or give the execution a name")
	}
	p.recent[call] = now
	if !used {
		p.recent[signature] = now
	}
	return func() { p.forget(call, signature, !used) }, nil
}

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

func (p *replays) turn(now time.Time) {
	if now.Sub(p.turned) > keepReplays || len(p.recent) >= maxReplays {
		p.older, p.recent, p.turned = p.recent, map[[16]byte]time.Time{}, now
	}
}

func replayKey(text string) [16]byte {
	sum := sha256.Sum256([]byte(text))
	return [16]byte(sum[:])
}
