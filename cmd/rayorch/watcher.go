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

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// watcher shows a run on stderr while it goes on: a live block on a terminal, plain lines elsewhere.
type watcher struct {
	screen *terminal.Screen
	live   bool
	follow bool
	view   *progress.View

	asked   time.Time // when the pending tasks were last queried, and after which event
	askedAt int64

	logs    map[string]bool // attempts whose logs are followed
	readers sync.WaitGroup
	asking  sync.WaitGroup // for news
	signals chan os.Signal
}

func (a *app) newWatcher(follow bool) *watcher {
	f, tty := terminalOf(a.err)
	cfg := terminal.Config{Out: a.err, Live: tty, Color: tty && os.Getenv("NO_COLOR") == "", Follow: follow}
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
		screen: terminal.New(cfg), live: tty, follow: follow, view: progress.New(nil), logs: map[string]bool{},
		signals: make(chan os.Signal, 2),
	}
}

// takeSignals takes Ctrl-C, and the end of the terminal, from here to the end of the process, which must not end while it starts or stops a Ray.
func (w *watcher) takeSignals() {
	signal.Notify(w.signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as with nohup
		signal.Notify(w.signals, syscall.SIGHUP)
	}
}

// untilInterrupted is a context for what comes before the watch: the first Ctrl-C ends it, and the watch sees that, too.
func (w *watcher) untilInterrupted(ctx context.Context) (_ context.Context, stop func()) {
	w.takeSignals()
	ctx, cancel := context.WithCancel(ctx)
	var minded sync.WaitGroup
	minded.Go(func() {
		select {
		case s := <-w.signals:
			w.signals <- s
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(); minded.Wait() }
}

// frameTime is how often the live block is drawn anew: often enough for a spinner, cheap enough to forget.
const frameTime = 200 * time.Millisecond

// watchToEnd shows a run until it has ended, prints what it came to, and turns that into an exit code. A run that outlasts
// the watch is handed over.
func (a *app) watchToEnd(ctx context.Context, s *session, arn string, w *watcher, wait time.Duration) error {
	if len(s.arns) == 0 {
		s.arns = []string{arn}
	}
	err := w.watch(ctx, s, arn, wait)
	var code silent
	if err != nil && !errors.As(err, &code) {
		return err
	}
	if code == exitRunning || code == exitHangUp {
		if err := s.handOver(ctx); err != nil {
			return err
		}
		if code == exitHangUp {
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
	if err := a.result(sum); err != nil {
		return err
	}
	if code != 0 {
		return code
	}
	if sum.Status != string(types.ExecutionStatusSucceeded) {
		a.hint(s.client.OtherRelease(ctx, version, sum.Cause))
		return silent(exitFailed)
	}
	return nil
}

// watch shows a run until it has ended and, where it did not succeed, nothing of it runs any more. When it returns, nothing
// uses the session.
func (w *watcher) watch(ctx context.Context, s *session, arn string, wait time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.asking.Wait()
	defer w.readers.Wait()
	defer cancel()
	w.takeSignals()
	if err := w.loop(ctx, s, arn, w.signals, wait); err != nil || w.view.Status == types.ExecutionStatusSucceeded {
		return err
	}
	return w.windUp(ctx, s, arn, w.signals)
}

func (a *app) result(sum *summary) error {
	if a.json() {
		return a.print(sum)
	}
	fmt.Fprintf(a.out, "\n%s/%s %s\n\n", sum.Pipeline, sum.Name, sum.Status)
	return a.ending(sum)
}

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
			w.readOut(signals)
			return nil
		}
		news := w.awaiting(ctx, s, arn)
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
				w.screen.Say("still running after %s: rayorch describe %s shows how it goes on", wait, nameOf(arn))
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
	if now := time.Now(); w.view.Last != w.askedAt || now.Sub(w.asked) >= time.Second {
		w.askedAt, w.asked = w.view.Last, now
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		_ = s.showWaiting(bounded, arn, w.view) // the next query follows soon, and keepUp detects that the owner is gone
		cancel()
	}
	w.screen.Show(w.view)
}

// readOut waits until the logs have been printed to their ends, which they have once the jobs have ended. Who interrupts it
// has seen enough.
func (w *watcher) readOut(signals <-chan os.Signal) {
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
	case <-time.After(readOutTime):
	}
}

// readOutTime bounds the wait for logs of jobs that will not stop. A busy machine prints late what a job has printed.
const readOutTime = time.Minute

func (w *watcher) ticks() (<-chan time.Time, func()) {
	every := frameTime
	if !w.live && !w.follow { // lines are printed only when something changes
		every = time.Second
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// awaiting closes the channel when there is news, or when asking for news failed: keepUp then finds out why.
func (w *watcher) awaiting(ctx context.Context, s *session, arn string) <-chan struct{} {
	done, after := make(chan struct{}), w.view.Last
	w.asking.Go(func() {
		defer close(done)
		if s.await(ctx, arn, after) != nil {
			_ = pause(ctx, 100*time.Millisecond) // not to spin while the owner is gone
		}
	})
	return done
}

// keepUp brings the view up to date. When the directory's owner has gone away meanwhile, this process takes its place
// and goes on with the run.
func (s *session) keepUp(ctx context.Context, arn string, w *watcher) error {
	err := s.catchUp(ctx, arn, w.view)
	if s.owner != nil || s.dir == "" || ctx.Err() != nil || isAnswer(err) || err == nil && !s.replaced() {
		return err
	}
	w.screen.Say("the process that ran this went away: going on here")
	if err := s.takeOver(ctx, s.arns...); err != nil {
		return err
	}
	return s.catchUp(ctx, arn, w.view)
}

// replaced reports whether another process than the one that this command joined owns the directory: it may let the run rest.
func (s *session) replaced() bool {
	now, err := home.Announced(s.dir)
	return err == nil && now.PID != s.addr.PID
}

// takeOver finds the directory's new owner, or becomes it, and has the runs driven.
func (s *session) takeOver(ctx context.Context, arns ...string) error {
	s.opts.Run = true // to drive them
	if err := s.join(ctx); err != nil {
		return err
	}
	if err := s.supply(ctx, arns...); err != nil {
		s.app.say(err.Error()) // the steps that need them wait for rayorch resume
	}
	resting, _, err := s.resting(ctx)
	if err != nil {
		return err
	}
	for _, arn := range arns { // a new owner does not resume a run that killed processes before: only a user does
		if _, parked := resting.of(arn); parked != "" {
			s.app.say(parkedText(nameOf(arn), parked))
		} else if err := s.resume(ctx, arn); err != nil {
			return err
		}
	}
	return nil
}

// windUp waits until the jobs that an unsuccessful run was stopped in the middle of have ended.
func (w *watcher) windUp(ctx context.Context, s *session, arn string, signals <-chan os.Signal) error {
	done := make(chan error, 1)
	go func() {
		_, err := s.settle(ctx, arn)
		done <- err
	}()
	long := time.After(windUpQuiet)
	for {
		select {
		case err := <-done:
			return err
		case <-long:
			w.screen.Say("waiting until the stopped jobs and the cleanup have ended; Ctrl-C exits immediately")
		case sig := <-signals:
			return w.leave(arn, sig)
		}
	}
}

// windUpQuiet is how long windUp waits before it prints that it waits.
const windUpQuiet = time.Second

// leave ends the watch at a second signal. A closed terminal leaves the rest to another process.
func (w *watcher) leave(arn string, sig os.Signal) error {
	if sig == syscall.SIGHUP {
		return silent(exitHangUp)
	}
	w.screen.Say("left: jobs of %s may still run; rayorch resume %s stops them", nameOf(arn), nameOf(arn))
	return silent(exitInterrupted)
}

// stopTime bounds the call that stops a run.
const stopTime = 30 * time.Second

// interrupted stops the run, waits for its jobs to end, and leaves at once when told a second time.
func (w *watcher) interrupted(ctx context.Context, s *session, arn string, signals <-chan os.Signal) error {
	w.screen.Say("stopping the run and its jobs; Ctrl-C again leaves at once")
	// The stop itself is quick and not left out by the second: the run's jobs would go on.
	told, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	_, err := s.sfn.StopExecution(told, &sfn.StopExecutionInput{ExecutionArn: aws.String(arn), Cause: aws.String("interrupted at the terminal by " + invoker())})
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

// followLogs starts to read the log of every attempt that has one and is not read yet.
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
		return // a log is a convenience here: the step's error and cause come with its events
	}
	for _, st := range fresh {
		found := stepLogs(logs, st, st.Attempt)
		if len(found) != 1 {
			continue
		}
		w.logs[logKey(st)] = true
		name := st.Name
		w.readers.Go(func() { w.readLog(ctx, s, arn, name, engine.LogQuery{Task: found[0].Task, Follow: true}) })
	}
}

func logKey(st *progress.Entry) string { return fmt.Sprintf("%s %d", st.Name, st.Attempt) }

func (w *watcher) readLog(ctx context.Context, s *session, arn, step string, q engine.LogQuery) {
	r, err := s.openLog(ctx, arn, q)
	if err != nil {
		return
	}
	defer func() { _ = r.Close() }()
	_ = kube.EachLine(r, func(line string) { w.screen.Log(step, line) }) // what came of it was shown
}

// openLog reads the log of an attempt, here or from the server.
func (s *session) openLog(ctx context.Context, arn string, q engine.LogQuery) (io.ReadCloser, error) {
	return s.client.OpenLog(ctx, arn, q)
}
