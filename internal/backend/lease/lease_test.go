package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/backend/lease"
)

// server stores a Lease as the API server does: a replacement must contain the version that it replaces.
type server struct {
	mu      sync.Mutex
	object  map[string]any
	version int
	// before is called before each request, which fails with its error.
	before func(r kube.Request) error
	// after is called after each successful replacement; an error replaces the response.
	after func(r kube.Request) error
}

func (s *server) Do(ctx context.Context, r kube.Request) (kube.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		if err := s.before(r); err != nil {
			return kube.Response{}, err
		}
	}
	res, err := s.do(r)
	if err == nil && s.after != nil && r.Method == http.MethodPut {
		err = s.after(r)
	}
	if ctx.Err() != nil {
		err = &kube.UnreachableError{Err: ctx.Err()}
	}
	return res, err
}

func (s *server) do(r kube.Request) (kube.Response, error) {
	if strings.HasSuffix(r.Path, "/mine") == (r.Method == http.MethodPost) {
		return s.status(r, http.StatusBadRequest)
	}
	if r.Method == "" && s.object == nil {
		return s.status(r, http.StatusNotFound)
	}
	if r.Method == "" {
		return s.answer()
	}
	var o map[string]any
	if err := json.Unmarshal(r.Body, &o); err != nil {
		return kube.Response{}, err
	}
	meta, _ := o["metadata"].(map[string]any)
	if r.Method == http.MethodPost && s.object != nil || r.Method == http.MethodPut && meta["resourceVersion"] != fmt.Sprint(s.version) {
		return s.status(r, http.StatusConflict)
	}
	s.version++
	meta["resourceVersion"] = fmt.Sprint(s.version)
	s.object = o
	return s.answer()
}

func (s *server) answer() (kube.Response, error) {
	body, err := json.Marshal(s.object)
	return kube.Response{Status: http.StatusOK, Body: body}, err
}

func (s *server) status(r kube.Request, code int) (kube.Response, error) {
	res := kube.Response{Status: code}
	return res, &kube.StatusError{Request: r, Response: res, Code: code}
}

func (s *server) holder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec, _ := s.object["spec"].(map[string]any)
	name, _ := spec["holderIdentity"].(string)
	return name
}

func config(s *server, holder string) lease.Config {
	return lease.Config{Server: s, Namespace: "ns", Name: "mine", Holder: holder}
}

func acquire(t *testing.T, c lease.Config) *lease.Lease {
	t.Helper()
	l, err := lease.Acquire(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestHoldAndRelease holds a lease for ten minutes while another process waits for it, which acquires it soon after the release.
func TestHoldAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		first := acquire(t, config(s, "a"))
		got := make(chan *lease.Lease)
		second := config(s, "b")
		var holders []string
		second.Waiting = func(holder string) { holders = append(holders, holder) }
		go func() { got <- acquire(t, second) }()
		time.Sleep(10 * time.Minute) // in the fake time of synctest
		if s.holder() != "a" || first.Lost().Err() != nil {
			t.Fatalf("after ten minutes, the holder is %q, lost: %v", s.holder(), first.Lost().Err())
		}
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		l := <-got
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %v to acquire a released lease", took)
		}
		if len(holders) != 1 || holders[0] != "a" {
			t.Errorf("holders while waiting: %q", holders)
		}
		if errors.Is(context.Cause(first.Lost()), lease.ErrLost) {
			t.Error("a released lease counts as lost")
		}
		_ = l.Release(t.Context())
	})
}

// TestFence disconnects the holder, which must learn that it lost the lease before another process acquires it.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		first := acquire(t, config(s, "a"))
		var ended atomic.Bool
		context.AfterFunc(first.Lost(), func() { ended.Store(true) })
		s.mu.Lock()
		s.before = func(r kube.Request) error {
			if strings.Contains(string(r.Body), `"holderIdentity":"a"`) {
				return &kube.UnreachableError{Err: errors.New("disconnected")}
			}
			return nil
		}
		s.mu.Unlock()
		second := acquire(t, config(s, "b"))
		if !ended.Load() {
			t.Fatal("b acquired the lease while a held it")
		}
		if !errors.Is(context.Cause(first.Lost()), lease.ErrLost) {
			t.Errorf("the cause of a's context is %v", context.Cause(first.Lost()))
		}
		if err := first.Release(t.Context()); err != nil || s.holder() != "b" {
			t.Errorf("release of a lost lease: %v, holder %q", err, s.holder())
		}
		_ = second.Release(t.Context())
	})
}

// TestLostResponse verifies that the lease is still held after renewals whose responses were lost.
func TestLostResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		l := acquire(t, config(s, "a"))
		fail := true
		s.mu.Lock()
		s.after = func(kube.Request) error {
			if fail = !fail; fail {
				return nil
			}
			return &kube.UnreachableError{Err: errors.New("connection reset")}
		}
		s.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if l.Lost().Err() != nil {
			t.Errorf("lost: %v", context.Cause(l.Lost()))
		}
		_ = l.Release(t.Context())
	})
}

// TestStolen verifies that a lease counts as lost once it has another holder.
func TestStolen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		l := acquire(t, config(s, "a"))
		s.mu.Lock()
		s.object["spec"].(map[string]any)["holderIdentity"] = "thief"
		s.version++
		s.object["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(s.version)
		s.mu.Unlock()
		<-l.Lost().Done()
		if !errors.Is(context.Cause(l.Lost()), lease.ErrLost) {
			t.Errorf("%v", context.Cause(l.Lost()))
		}
	})
}

// TestForbidden verifies that Acquire does not retry a permanent error.
func TestForbidden(t *testing.T) {
	s := &server{before: func(r kube.Request) error {
		return &kube.StatusError{Request: r, Code: http.StatusForbidden, Message: "leases is forbidden: a cannot get"}
	}}
	if _, err := lease.Acquire(t.Context(), config(s, "a")); kube.Code(err) != http.StatusForbidden {
		t.Errorf("got %v, want status 403", err)
	}
}

func TestAcquireCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		l := acquire(t, config(s, "a"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := lease.Acquire(ctx, config(s, "b")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		_ = l.Release(t.Context())
	})
}

// FuzzRecord verifies that no response of the server makes Acquire panic.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"spec":{"holderIdentity":"x","leaseDurationSeconds":1}}`))
	f.Add([]byte(`{"spec":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		s := answers{body, cancel}
		if l, err := lease.Acquire(ctx, lease.Config{Server: s, Namespace: "ns", Name: "mine", Holder: "a"}); err == nil {
			_ = l.Release(t.Context())
		}
	})
}

// answers responds to each request with the same body, and cancels the context of Acquire with the first.
type answers struct {
	body []byte
	end  context.CancelFunc
}

func (a answers) Do(context.Context, kube.Request) (kube.Response, error) {
	a.end()
	return kube.Response{Status: http.StatusOK, Body: a.body}, nil
}
