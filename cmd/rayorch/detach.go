package main

// This file hands runs over to a background process. The order makes sure that the runs are always driven: the command starts the driver,
// which watches the runs as a client (ready); the command closes the engine; the driver notices that the owner has exited and becomes the
// owner; the command exits when the driver drives the runs (driven).

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/view/progress"
)

// driveCommand is the hidden subcommand that drives runs to their end without a terminal. A run is handed over to it by run --detach, when
// --wait ends, and when the terminal is closed.
const driveCommand = "__drive"

// readyFile is the descriptor on which the driver reports that it watches the run.
const readyFile = 3

func driveCmd(a *app) *cobra.Command {
	var o rayOptions
	c := &cobra.Command{
		Use:     driveCommand + " EXECUTION...",
		Short:   "drive runs to their end without a terminal",
		Example: "  rayorch run --detach",
		Hidden:  true,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.drive(ctx, args, o)
		},
	}
	o.flags(c)
	return c
}

// drive drives runs until they end. If the process is stopped before that, the jobs continue, and rayorch resume finds them.
func (a *app) drive(ctx context.Context, arns []string, o rayOptions) error {
	w := newWatcher(a.out, false)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: true, Ray: o}, func(s *session) error {
		s.arns = arns
		err := s.over(ctx, func() error {
			if err := s.supplySecrets(ctx, arns...); err != nil {
				return err
			}
			return s.resume(ctx, arns...)
		})
		if err != nil {
			return err
		}
		// The process that started this one may have exited: drive the runs all the same.
		ready := os.NewFile(readyFile, "ready")
		_, _ = ready.WriteString("\n")
		_ = ready.Close()
		for _, arn := range arns {
			w.view = progress.New(nil)
			if err := s.untilEnd(ctx, arn, w); err != nil {
				return ended(ctx, err)
			}
		}
		return s.releaseOwnRay()
	})
}

// untilEnd shows a run until it has ended and its stopped jobs have ended, too.
func (s *session) untilEnd(ctx context.Context, arn string, w *watcher) error {
	for w.view.Status == types.ExecutionStatusRunning {
		if err := s.keepUp(ctx, arn, w); err != nil {
			return err
		}
		w.screen.Show(w.view)
		if w.view.Status == types.ExecutionStatusRunning && s.awaitEvent(ctx, arn, w.view.Last) != nil {
			_ = client.Sleep(ctx, joinPoll) // avoids spinning while the owner is gone; keepUp reports what is wrong
		}
	}
	_, err := s.settle(ctx, arn)
	return err
}

// ended returns nil instead of an error that occurs because the process is to exit.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // a signal ended the process
	}
	return err
}

// resume makes the owner of the directory, which may be this process, drive runs that no process drives.
func (s *session) resume(ctx context.Context, arns ...string) error {
	return s.client.Resume(ctx, arns...)
}

// handOver starts a background process that drives the session's runs to their end. A server that owns the directory does so
// already.
func (s *session) handOver(ctx context.Context) error {
	if s.dir == "" || s.owner == nil && s.addr.Server {
		return nil
	}
	log := filepath.Join(s.dir, "detached.log")
	gone, err := s.startDriver(log)
	s.opts.Run = false // from here on, this command only reads
	if err == nil && s.owner != nil {
		err = errors.Join(s.close(), s.rejoin(ctx, gone))
	}
	if err == nil {
		err = s.driven(ctx, gone)
	}
	if err != nil {
		return fail(exitError, "resume the run with: rayorch resume "+nameOf(s.arns[0]),
			"hand the run over to another process (its output is in %s): %w", log, err)
	}
	return nil
}

// driven waits until the driver drives the runs: it owns the directory shortly before it resumes them.
func (s *session) driven(ctx context.Context, gone <-chan struct{}) error {
	for late, ended := time.After(joinTime), false; ; {
		var resting idle
		err := s.over(ctx, func() (err error) {
			resting, _, err = s.resting(ctx)
			return err
		})
		switch {
		case err != nil || !slices.ContainsFunc(s.arns, func(arn string) bool { driven, _ := resting.of(arn); return interrupted(driven) }):
			return err
		case ended:
			return errors.New("the process exited before the run ended")
		}
		select {
		case <-gone:
			ended = true // it may have driven them to their end since the last query: query once more
		case <-late:
			return fmt.Errorf("no process drives the run after %s", joinTime)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(joinPoll):
		}
	}
}

// startDriver starts the process and waits until it watches the run. gone is closed when the process has ended.
func (s *session) startDriver(log string) (gone <-chan struct{}, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"--state-dir", s.dir}
	if s.app.kubeconfig != "" {
		args = append(args, "--kubeconfig", s.app.kubeconfig)
	}
	args = append(append(append(args, driveCommand), s.arns...), s.opts.Ray.args()...)
	// The driver has no terminal: its output is appended to a log in the state directory.
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	// The driver writes one byte to the pipe when it is ready. If it exits before that, the read fails, because the write end is closed.
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = ready.Close() }()
	c := exec.Command(self, args...) //nolint:noctx // the driver outlives this process
	c.Stdout, c.Stderr, c.ExtraFiles = out, out, []*os.File{tell}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // so that it does not end with this terminal
	err = c.Start()
	_ = tell.Close() // the driver has its own
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		return nil, errors.New("the process ended immediately")
	}
	return ended, nil
}

// args returns the flags that give another process the same options.
func (o *rayOptions) args() []string {
	var args []string
	if o.address != "" {
		args = append(args, "--ray-address", o.address)
	}
	if o.caFile != "" {
		args = append(args, "--ray-ca", o.caFile)
	}
	if o.overHTTP {
		args = append(args, "--ray-token-over-http")
	}
	for _, c := range o.clusters {
		args = append(args, "--eks-cluster", c)
	}
	return args
}

// rejoin waits until the driver owns the directory, so that the next reader sees that the runs are driven. If the driver has exited
// (gone is closed), it may have driven them to their end: then any owner will do.
func (s *session) rejoin(ctx context.Context, gone <-chan struct{}) error {
	for late := time.After(joinTime); ; {
		addr, err := home.Find(ctx, s.dir)
		if err == nil {
			s.joinOwner(addr)
			return nil
		}
		if !errors.Is(err, home.ErrNoOwner) {
			return err
		}
		select {
		case <-gone:
			return s.join(ctx)
		case <-late:
			return fmt.Errorf("no process owns the state directory after %s", joinTime)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(joinPoll):
		}
	}
}

// detach ends run --detach: it hands the run over and prints its ARN.
func (s *session) detach(ctx context.Context, arn string) error {
	s.arns = []string{arn}
	if err := s.handOver(ctx); err != nil {
		return err
	}
	return printARN(s.app.out, arn)
}

// printARN prints the ARN of an execution that continues in the background.
func printARN(p *printer, arn string) error {
	return p.result(map[string]string{"executionArn": arn}, func() { p.printf("%s\n", arn) })
}
