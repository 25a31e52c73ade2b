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

// fenceTime is how long a server that has lost its lease may take to shut down. It is less than the rest of the lease's duration at that
// time (a third): the process has exited before another server can acquire the lease.
const fenceTime = 3 * time.Second

// takeLease acquires the Lease that --lease names; without a name it does nothing. held is canceled when the lease is lost, with the cause
// lease.ErrLost; give releases the lease.
func (a *app) takeLease(ctx context.Context, name string) (held context.Context, give func(), err error) {
	if name == "" {
		return ctx, func() {}, nil
	}
	namespace, object, ok := strings.Cut(name, "/")
	if !ok || namespace == "" || object == "" {
		return nil, nil, fail(exitUsage, "", "--lease must be NAMESPACE/NAME, got %q", name)
	}
	c, err := a.cluster("", "")
	if err != nil {
		return nil, nil, fmt.Errorf("acquire the lease: %w", err)
	}
	host, _ := os.Hostname() // in a cluster, the pod's name; the random suffix makes the holder unique
	l, err := lease.Acquire(ctx, lease.Config{
		Server: c, Namespace: namespace, Name: object, Holder: host + "-" + rand.Text()[:8],
		Waiting: func(holder string) { a.out.say("waiting for the lease " + name + ", held by " + holder) },
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
			a.out.error("lost the lease " + name + ": exiting, so that another server can take over")
			// Shut down in order, but not too late: see fenceTime.
			cancel(lease.ErrLost)
			time.AfterFunc(fenceTime, func() { os.Exit(exitError) }) // safe: the engine survives kill -9
		}
	})
	return held, func() {
		stop()
		ctx, cancel := context.WithTimeout(context.Background(), fenceTime)
		defer cancel()
		if err := l.Release(ctx); err != nil {
			a.out.say("the lease was not released; the next server waits until it expires: " + err.Error())
		}
	}, nil
}
