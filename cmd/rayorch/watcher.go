package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"golang.org/x/term"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// watcher shows the progress of a run on stderr: as a live block on a terminal, otherwise as lines.
type watcher struct {
	out    *printer
	screen *terminal.Screen
	live   bool // stderr is a terminal
	follow bool // print the output of the jobs
	view   *progress.View

	queried   time.Time // when the pending tasks were last queried
	queriedAt int64     // the last event at that time

	logs    map[string]bool // attempts whose logs are followed, by logKey
	readers sync.WaitGroup  // follow logs
	waiters sync.WaitGroup  // wait for new events
	signals chan os.Signal
}

// newWatcher returns a watcher that draws on stderr. With follow, it also prints the output of the jobs.
func newWatcher(p *printer, follow bool) *watcher {
	f, tty := terminalOf(p.stderr)
	cfg := terminal.Config{Out: p.stderr, Live: tty, Color: tty && os.Getenv("NO_COLOR") == "", Follow: follow}
	if tty {
		cfg.Out = f // the screen cleans what it draws
		cfg.Width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil {
				return w
			}
			return 80
		}
	}
	return &watcher{
		out: p, screen: terminal.New(cfg), live: tty, follow: follow, view: progress.New(nil), logs: map[string]bool{},
		signals: make(chan os.Signal, 2),
	}
}

// takeSignals handles SIGINT, SIGTERM and SIGHUP until the process exits: they must not kill it while it starts or stops a Ray.
func (w *watcher) takeSignals() {
	signal.Notify(w.signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as with nohup
		signal.Notify(w.signals, syscall.SIGHUP)
	}
}

// untilInterrupted returns a context for the preparations of a watch. The first signal cancels it and stays in w.signals, so that the watch
// receives it, too. stop releases the context and waits for its goroutine.
func (w *watcher) untilInterrupted(ctx context.Context) (_ context.Context, stop func()) {
	w.takeSignals()
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		select {
		case s := <-w.signals:
			w.signals <- s
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(); done.Wait() }
}

// frameTime is the interval at which the live block is redrawn: short enough for a spinner, and cheap.
const frameTime = 200 * time.Millisecond

// watchToEnd shows a run until it has ended, prints its result, and returns the exit code as an error (silent). If the run outlives the
// watch, because --wait ended or the terminal was closed, it is handed over to a background process.
func (w *watcher) watchToEnd(ctx context.Context, s *session, arn string, wait time.Duration) error {
	if len(s.arns) == 0 {
		s.arns = []string{arn}
	}
	err := w.watch(ctx, s, arn, wait)
	var code silent // 0 if the run has ended
	if err != nil && !errors.As(err, &code) {
		return err
	}
	if code == exitRunning || code == exitHangUp {
		if err := s.handOver(ctx); err != nil {
			return err
		}
		if code == exitHangUp { // there is no terminal to print to
			return code
		}
	}
	w.screen.Close()
	var sum *summary
	err = s.over(ctx, func() (err error) {
		sum, err = s.summary(ctx, arn)
		return err
	})
	if err != nil {
		return err
	}
	if err := printResult(w.out, sum); err != nil {
		return err
	}
	if code != 0 {
		return code
	}
	if sum.Status != string(types.ExecutionStatusSucceeded) {
		w.out.hint(s.client.OtherRelease(ctx, version, sum.Cause))
		return silent(exitFailed)
	}
	return nil
}

// watch shows a run until it has ended and, if it did not succeed, until its stopped jobs have ended. When it returns, no goroutine uses
// the session.
func (w *watcher) watch(ctx context.Context, s *session, arn string, wait time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.waiters.Wait()
	defer w.readers.Wait()
	defer cancel()
	w.takeSignals() // again, for commands that did not prepare anything
	if err := w.loop(ctx, s, arn, w.signals, wait); err != nil || w.view.Status == types.ExecutionStatusSucceeded {
		return err
	}
	return w.awaitStopped(ctx, s, arn, w.signals)
}

// printResult prints what run, resume and redrive show of an execution that has ended.
func printResult(p *printer, sum *summary) error {
	return p.result(sum, func() {
		p.printf("\n%s/%s %s\n\n", sum.Pipeline, sum.Name, sum.Status)
		printEnding(p, sum)
	})
}

// loop updates and draws the view until the run has ended, wait has elapsed (0: no limit), or a signal arrives. It sleeps until there are
// new events; the ticks in between only animate the view and look for new logs.
func (w *watcher) loop(ctx context.Context, s *session, arn string, signals <-chan os.Signal, wait time.Duration) error {
	ticks, stopTicks := w.ticks()
	defer stopTicks()
	var over <-chan time.Time
	if wait > 0 {
		over = time.After(wait)
	}
	for {
		if err := s.keepUp(ctx, arn, w); err != nil {
			return err
		}
		w.show(ctx, s, arn)
		w.followLogs(ctx, s, arn)
		if w.view.Status != types.ExecutionStatusRunning {
			w.drainLogs(signals)
			return nil
		}
		news := w.newEvents(ctx, s, arn)
	idle:
		for {
			select {
			case <-news:
				break idle
			case <-ticks:
				if w.live || w.follow {
					w.followLogs(ctx, s, arn)
				}
				w.show(ctx, s, arn)
			case <-over:
				w.screen.Printf("still running after %s; to show its progress: rayorch describe %s", wait, nameOf(arn))
				return silent(exitRunning)
			case sig := <-signals:
				if sig == syscall.SIGHUP {
					return silent(exitHangUp)
				}
				return w.interrupted(ctx, s, arn, signals)
			}
		}
	}
}

// show draws the view with the pending tasks. It queries them at most once a second: the owner does not report changes of them.
func (w *watcher) show(ctx context.Context, s *session, arn string) {
	if now := time.Now(); w.view.Last != w.queriedAt || now.Sub(w.queried) >= time.Second {
		w.queriedAt, w.queried = w.view.Last, now
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		_ = s.showWaiting(bounded, arn, w.view) // the next query follows soon, and keepUp detects an owner that has exited
		cancel()
	}
	w.screen.Show(w.view)
}

// drainLogs waits until the logs of the ended jobs have been printed completely. A signal ends the wait.
func (w *watcher) drainLogs(signals <-chan os.Signal) {
	if !w.follow {
		return
	}
	done := make(chan struct{})
	go func() {
		w.readers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-signals:
	case <-time.After(drainTimeout):
	}
}

// drainTimeout bounds the wait for the logs of jobs that do not stop. It is long because logs are late on a busy machine.
const drainTimeout = time.Minute

// ticks returns a channel that ticks whenever the view is redrawn without new events.
func (w *watcher) ticks() (<-chan time.Time, func()) {
	every := frameTime
	if !w.live && !w.follow { // lines are printed only when something changes
		every = time.Second
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// newEvents returns a channel that is closed when there may be new events, or when the wait for them failed: keepUp reports the error.
func (w *watcher) newEvents(ctx context.Context, s *session, arn string) <-chan struct{} {
	done, after := make(chan struct{}), w.view.Last
	w.waiters.Go(func() {
		defer close(done)
		if s.awaitEvent(ctx, arn, after) != nil {
			_ = client.Sleep(ctx, 100*time.Millisecond) // avoids spinning while there is no owner
		}
	})
	return done
}

// keepUp updates the view. If the owner of the directory has exited, this process takes over and continues the run.
func (s *session) keepUp(ctx context.Context, arn string, w *watcher) error {
	err := s.catchUp(ctx, arn, w.view)
	// This process is the owner, or there is none to replace, or the owner has answered and is still the same.
	if s.owner != nil || s.dir == "" || ctx.Err() != nil || isAnswer(err) || err == nil && !s.replaced() {
		return err
	}
	w.screen.Printf("the process that drove the run has exited: continuing here")
	if err := s.takeOver(ctx, s.arns...); err != nil {
		return err
	}
	return s.catchUp(ctx, arn, w.view)
}

// replaced reports whether another process than the one that this command joined owns the directory now. It may not drive the run.
func (s *session) replaced() bool {
	now, err := home.Announced(s.dir)
	return err == nil && now.PID != s.addr.PID
}

// takeOver joins the new owner of the directory, or becomes the owner, and resumes the runs.
func (s *session) takeOver(ctx context.Context, arns ...string) error {
	s.opts.Run = true // to drive them
	if err := s.join(ctx); err != nil {
		return err
	}
	if err := s.supplySecrets(ctx, arns...); err != nil {
		s.app.out.say(err.Error()) // steps that need the secrets are pending until rayorch resume supplies them
	}
	resting, _, err := s.resting(ctx)
	if err != nil {
		return err
	}
	for _, arn := range arns { // a parked run has killed its processes before: only the user resumes it
		if _, parked := resting.of(arn); parked != "" {
			s.app.out.say(parkedText(nameOf(arn), parked))
		} else if err := s.resume(ctx, arn); err != nil {
			return err
		}
	}
	return nil
}

// awaitStopped waits until the jobs of an unsuccessful run, which were stopped when it ended, have ended.
func (w *watcher) awaitStopped(ctx context.Context, s *session, arn string, signals <-chan os.Signal) error {
	done := make(chan error, 1)
	go func() {
		_, err := s.settle(ctx, arn)
		done <- err
	}()
	long := time.After(stoppedQuiet)
	for {
		select {
		case err := <-done:
			return err
		case <-long:
			w.screen.Printf("waiting for the stopped jobs and the cleanup to end; press Ctrl-C to exit immediately")
		case sig := <-signals:
			return w.leave(arn, sig)
		}
	}
}

// stoppedQuiet is how long awaitStopped waits before it prints that it is waiting.
const stoppedQuiet = time.Second

// leave ends the watch after a second signal. If the terminal was closed, the run is handed over.
func (w *watcher) leave(arn string, sig os.Signal) error {
	if sig == syscall.SIGHUP {
		return silent(exitHangUp)
	}
	w.screen.Printf("jobs of %s may still be running; to stop them: rayorch resume %s", nameOf(arn), nameOf(arn))
	return silent(exitInterrupted)
}

// stopTime bounds the request that stops a run.
const stopTime = 30 * time.Second

// interrupted stops the run and waits until its jobs have ended. A second signal ends the wait.
func (w *watcher) interrupted(ctx context.Context, s *session, arn string, signals <-chan os.Signal) error {
	w.screen.Printf("stopping the run and its jobs; press Ctrl-C again to exit immediately")
	// A second signal does not cancel the request itself, which is quick: otherwise the jobs would continue.
	stopping, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	_, err := s.sfn.StopExecution(stopping, &sfn.StopExecutionInput{ExecutionArn: aws.String(arn), Cause: aws.String("interrupted at the terminal by " + invoker())})
	if err != nil {
		return apiError("stop the run", err)
	}
	stopped := make(chan error, 1)
	go func() {
		_, err := s.settle(ctx, arn)
		stopped <- err
	}()
	select {
	case err := <-stopped:
		if err != nil {
			return err
		}
		return silent(exitInterrupted)
	case sig := <-signals:
		return w.leave(arn, sig)
	}
}

// followLogs starts to follow the logs of attempts that are not followed yet.
func (w *watcher) followLogs(ctx context.Context, s *session, arn string) {
	var fresh []*progress.Entry
	for _, st := range w.view.Steps() {
		if !st.IsWait() && st.Attempt > 0 && !w.logs[logKey(st)] {
			fresh = append(fresh, st)
		}
	}
	if len(fresh) == 0 {
		return
	}
	logs, err := s.logsOf(ctx, arn)
	if err != nil {
		return // the view does not need logs: errors and causes of steps are in the events
	}
	for _, st := range fresh {
		found := stepLogs(logs, st, st.Attempt)
		if len(found) != 1 { // none yet, or ambiguous: see stepLogs
			continue
		}
		w.logs[logKey(st)] = true
		name := st.Name
		w.readers.Go(func() { w.readLog(ctx, s, arn, name, engine.LogQuery{Task: found[0].Task, Follow: true}) })
	}
}

// logKey identifies an attempt of a step in logs.
func logKey(st *progress.Entry) string { return fmt.Sprintf("%s %d", st.Name, st.Attempt) }

// readLog prints the log of an attempt until it ends.
func (w *watcher) readLog(ctx context.Context, s *session, arn, step string, q engine.LogQuery) {
	r, err := s.openLog(ctx, arn, q)
	if err != nil {
		return
	}
	defer func() { _ = r.Close() }()
	_ = kube.EachLine(r, func(line string) { w.screen.Log(step, line) }) // a log that breaks off is not an error of the watch
}

// openLog opens the log of an attempt. The caller closes it.
func (s *session) openLog(ctx context.Context, arn string, q engine.LogQuery) (io.ReadCloser, error) {
	return s.client.OpenLog(ctx, arn, q)
}
