package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/home"
)

// driveCommand is the hidden subcommand that drives one run to its end without a terminal: run --detach, the end of --wait
// and a terminal that is closed hand a run over to it.
const driveCommand = "__drive"

// readyFile is the descriptor on which the driver says that it watches the run.
const readyFile = 3

func (a *app) driveCmd() *cobra.Command {
	var o rayOptions
	c := &cobra.Command{
		Use:     driveCommand + " EXECUTION",
		Short:   "drive a run to its end without a terminal",
		Example: "  rayorch run --detach",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.drive(ctx, args[0], o)
		},
	}
	o.flags(c)
	return c
}

// drive lets the run rest when the process is told to end: its jobs go on, and resume finds them.
func (a *app) drive(ctx context.Context, arn string, o rayOptions) error {
	w := a.newWatcher(false)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: true, Ray: o}, func(s *session) error {
		err := s.over(ctx, func() error {
			if err := s.supply(ctx, arn); err != nil {
				return err
			}
			return s.resume(ctx, arn)
		})
		if err != nil {
			return err
		}
		ready := os.NewFile(readyFile, "ready")
		_, werr := ready.WriteString("\n")
		if err := errors.Join(werr, ready.Close()); err != nil {
			return fmt.Errorf("say that the run is watched: %w", err)
		}
		for w.view.Status == types.ExecutionStatusRunning {
			if err := s.keepUp(ctx, arn, w); err != nil {
				return ended(ctx, err)
			}
			w.screen.Show(w.view)
			if w.view.Status == types.ExecutionStatusRunning && s.await(ctx, arn, w.view.Last) != nil {
				_ = pause(ctx, joinPoll) // not to spin while the owner is gone; keepUp says what is wrong
			}
		}
		if _, err := s.settle(ctx, arn); err != nil {
			return ended(ctx, err)
		}
		if s.owner == nil {
			return nil
		}
		return s.releaseRay(s.owner.runners.find)
	})
}

// ended takes an error that comes of the process being told to end for none.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// resume sets a run going that rests: here, or in the process that owns the directory.
func (s *session) resume(ctx context.Context, arns ...string) error {
	if s.owner != nil {
		return s.owner.eng.Resume(ctx, arns...)
	}
	if s.http == nil {
		return nil // AWS lets none rest
	}
	return s.resumeThere(ctx, arns)
}

// handOver makes a process of its own, without a terminal, drive the run to its end. A server that owns the directory does
// so already.
func (s *session) handOver(ctx context.Context, arn string) error {
	if s.dir == "" || s.owner == nil && s.addr.Server {
		return nil
	}
	log := filepath.Join(s.dir, "detached.log")
	gone, err := s.startDriver(arn, log)
	if err == nil && s.owner != nil {
		err = errors.Join(s.close(), s.rejoin(ctx, gone))
	}
	if err != nil {
		return fail(exitError, "rayorch resume "+nameOf(arn)+" goes on with it",
			"hand the run over to another process (its output is in %s): %w", log, err)
	}
	return nil
}

// startDriver starts the process and waits until it watches the run. gone is closed when the process has ended.
func (s *session) startDriver(arn, log string) (gone <-chan struct{}, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"--state-dir", s.dir}
	if s.app.kubeconfig != "" {
		args = append(args, "--kubeconfig", s.app.kubeconfig)
	}
	args = append(append(args, driveCommand, arn), s.opts.Ray.args()...)
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = ready.Close() }()
	c := exec.Command(self, args...)
	c.Stdout, c.Stderr, c.ExtraFiles = out, out, []*os.File{tell}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not to be ended with this terminal
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
		return nil, errors.New("the process ended at once")
	}
	return ended, nil
}

// args are the flags that say the same to another process.
func (o *rayOptions) args() []string {
	var args []string
	if o.address != "" {
		args = append(args, "--ray-address", o.address)
	}
	if o.caFile != "" {
		args = append(args, "--ray-ca", o.caFile)
	}
	for _, c := range o.clusters {
		args = append(args, "--eks-cluster", c)
	}
	return args
}

// rejoin waits for the driver to own the directory, so that whoever looks next sees the run driven. A driver that is gone
// has driven it to its end.
func (s *session) rejoin(ctx context.Context, gone <-chan struct{}) error {
	for late := time.After(joinTime); ; {
		addr, err := home.Find(ctx, s.dir)
		if err == nil {
			s.remote, s.addr = localClient(addr), addr
			return nil
		}
		if !errors.Is(err, home.ErrNobody) {
			return err
		}
		select {
		case <-gone:
			s.opts.Run = false
			return s.join(ctx)
		case <-late:
			return fmt.Errorf("nobody owns the state directory after %s", joinTime)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(joinPoll):
		}
	}
}

// takeHangUp takes SIGHUP from here on, unless the process was started to ignore it (nohup).
func (w *watcher) takeHangUp() {
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(w.signals, syscall.SIGHUP)
	}
}

// detach is the end of run --detach: the run goes on elsewhere, and its name is printed.
func (a *app) detach(ctx context.Context, s *session, arn string) error {
	if err := s.handOver(ctx, arn); err != nil {
		return err
	}
	if a.json() {
		return a.print(map[string]string{"executionArn": arn})
	}
	_, err := fmt.Fprintln(a.out, arn)
	return err
}
