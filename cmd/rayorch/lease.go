package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/backend/lease"
)

// fenceTime is how long a server that has lost its lease may take to end in order. It is less than the third of the lease
// that is left then.
const fenceTime = 3 * time.Second

// takeLease waits until this process is the one that may act, where --lease names a Lease. The context ends when it is no
// more; give gives the lease back.
func (a *app) takeLease(ctx context.Context, name string) (held context.Context, give func(), err error) {
	if name == "" {
		return ctx, func() {}, nil
	}
	namespace, object, ok := strings.Cut(name, "/")
	if !ok || namespace == "" || object == "" {
		return nil, nil, fail(exitUsage, "", "--lease %s: expected NAMESPACE/NAME", name)
	}
	c, err := a.cluster("", "")
	if err != nil {
		return nil, nil, fmt.Errorf("take the lease: %w", err)
	}
	host, _ := os.Hostname() // the pod's name; the rest makes the process unique
	l, err := lease.Acquire(ctx, lease.Config{
		Server: c, Namespace: namespace, Name: object, Holder: host + "-" + rand.Text()[:8],
		Waiting: func(holder string) { a.say("waiting for the lease " + name + ", which " + holder + " holds") },
	})
	if ctx.Err() != nil {
		return nil, nil, silent(exitInterrupted)
	}
	if err != nil {
		return nil, nil, err
	}
	held, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.Lost(), func() {
		if errors.Is(context.Cause(l.Lost()), lease.ErrLost) {
			a.say("rayorch: error: the lease " + name + " is lost: ending, so that another server can act")
			cancel(lease.ErrLost)
			time.AfterFunc(fenceTime, func() { os.Exit(exitError) }) // the engine bears being killed
		}
	})
	return held, func() {
		stop()
		ctx, cancel := context.WithTimeout(context.Background(), fenceTime)
		defer cancel()
		if err := l.Release(ctx); err != nil {
			a.say("the lease was not given back, so that the next server waits until it runs out: " + err.Error())
		}
	}, nil
}
