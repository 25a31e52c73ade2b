package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

const definition = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::process:run.sync","Parameters":{},"End":true}}}`

var since = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// worker is a runner whose attempts print a line, are pending, and end when they are stopped. It sends to waits at each call of Run.
type worker struct{ waits chan struct{} }

func (w worker) Run(ctx context.Context, req *task.Request) task.Result {
	if !req.Resumed {
		_, _ = io.WriteString(req.Log, "hello\n")
	}
	req.Waits("no room", since)
	w.waits <- struct{}{}
	<-ctx.Done()
	return task.Result{Stopped: "killed"}
}

// owner records what only the owner of a state directory receives.
type owner struct {
	secrets map[string]string
	sources []snapshot.Source
}

func (o *owner) Missing(string) ([]string, error) {
	if len(o.secrets) > 0 {
		return nil, nil
	}
	return []string{"TOKEN"}, nil
}

func (o *owner) Add(_ string, values map[string]string) error { o.secrets = values; return nil }

func (o *owner) Code(string) ([]snapshot.Snapshot, error) {
	return []snapshot.Snapshot{{Source: snapshot.Source{Path: "/src"}, Package: "_ray_pkg_1.zip"}}, nil
}

func (o *owner) Users() (map[string][]string, error) {
	return map[string][]string{"_ray_pkg_1.zip": {"arn"}}, nil
}

func (o *owner) AddSources(_ string, sources []snapshot.Source) error {
	if sources[0].Path == "relative" {
		return errors.New(`the path "relative" must be absolute`)
	}
	o.sources = sources
	return nil
}

// open opens an engine as commands do: it does not resume the open executions of an earlier engine. The caller closes it.
func open(t *testing.T, fs vfs.FS, w worker) (*engine.Engine, *catalog.Catalog) {
	t.Helper()
	var cat *catalog.Catalog
	eng, err := engine.Open(t.Context(), engine.Config{
		Dir: "state", FS: fs, Logger: slog.New(slog.DiscardHandler), Paused: true, Runners: map[string]task.Runner{"arn:aws:states:::process:": w},
		Machines: func(s *store.Store) engine.Machines {
			var err error
			if cat, err = catalog.Open(catalog.Config{Docs: s}); err != nil {
				t.Fatal(err)
			}
			return api.Machines(cat)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return eng, cat
}

func closeEngine(t *testing.T, eng *engine.Engine) {
	t.Helper()
	if err := eng.Close(); err != nil {
		t.Error(err)
	}
}

// local returns a client of a handler that is served as by the owner of a state directory, within this process.
func local(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	l, addr := home.ListenAlone("0.0.1")
	addr.PID = 7
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return client.Local(addr)
}

// remote returns a client of a handler that is served at an endpoint. The client has a key if id is not empty.
func remote(t *testing.T, h http.Handler, id, secret string) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := aws.Config{}
	if id != "" {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "")
	}
	return client.Endpoint(cfg, srv.URL)
}

// TestAgainstTheServer calls all methods against the real server during the life of an execution: start, restart of the engine,
// resume, stop.
func TestAgainstTheServer(t *testing.T) {
	keys := access.Keys{"AKID": {Secret: "secret", Role: access.Admin}}
	for name, via := range map[string]struct {
		connect func(*testing.T, api.Config) *client.Client
		owner   bool // connect returns a client of the owner
		origin  string
	}{
		"owner": {connect: func(t *testing.T, c api.Config) *client.Client {
			c.Owner = true
			c.ConsoleLink = func() (string, bool) { return "http://127.0.0.1/console/#/login/1", true }
			return local(t, api.New(c))
		}, owner: true},
		"endpoint": {connect: func(t *testing.T, c api.Config) *client.Client {
			c.Secrets, c.Code = nil, nil
			return remote(t, api.New(c), "", "")
		}, origin: task.NetworkDefinition},
		"endpoint with a key": {connect: func(t *testing.T, c api.Config) *client.Client {
			c.Secrets, c.Code, c.Keys = nil, nil, keys
			return remote(t, api.New(c), "AKID", "secret")
		}, origin: task.NetworkDefinition},
	} {
		t.Run(name, func(t *testing.T) {
			w, kept := worker{make(chan struct{}, 1)}, &owner{}
			fs := vfs.NewMem()
			connect := func() (*engine.Engine, *client.Client) {
				eng, cat := open(t, fs, w)
				return eng, via.connect(t, api.Config{
					Engine: eng, Catalog: cat, Logger: slog.New(slog.DiscardHandler), Version: "1.2.3", SDK: api.NewSDKTasks(), Secrets: kept, Code: kept,
				})
			}
			eng, c := connect()
			arn := starts(t, c)
			<-w.waits
			closeEngine(t, eng)
			eng, c = connect()
			defer closeEngine(t, eng)
			drives(t, c, arn, w)
			describes(t, c, arn, via.origin)
			stops(t, c, arn)
			ownersOnly(t, c, kept, via.owner)
		})
	}
}

// starts registers two versions of a machine, points an alias at each, and starts an execution.
func starts(t *testing.T, c *client.Client) (arn string) {
	t.Helper()
	ctx := t.Context()
	first, err := c.Register(ctx, client.Machine{Name: "m", Definition: strings.Replace(definition, `"End"`, `"Comment":"first","End"`, 1)})
	if err != nil {
		t.Fatal(err)
	}
	version, err := c.Register(ctx, client.Machine{Name: "m", Definition: definition, Description: "the second"})
	if err != nil || first != "arn:aws:states:us-east-1:123456789012:stateMachine:m:1" || version != "arn:aws:states:us-east-1:123456789012:stateMachine:m:2" {
		t.Fatalf("registered as %s, then %s: %v", first, version, err)
	}
	machine, err := c.MachineARN(ctx, "m")
	if err != nil || machine+":2" != version {
		t.Fatalf("machine %s: %v", machine, err)
	}
	if none, err := c.MachineARN(ctx, "n"); none != "" || err != nil {
		t.Errorf("a machine that does not exist: %q, %v", none, err)
	}
	for _, to := range []string{first, version} {
		if alias, err := c.PointAlias(ctx, machine, to, "prod"); alias != machine+":prod" || err != nil {
			t.Errorf("alias %s: %v", alias, err)
		}
	}
	arn, err = c.Start(ctx, "run", machine+":prod", "one", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.Definition(ctx, arn); text != definition || err != nil {
		t.Errorf("definition %s: %v", text, err)
	}
	_, err = c.Start(ctx, "run", machine, "one", `{"other": 1}`)
	if err == nil || !strings.HasPrefix(err.Error(), "start the run: ExecutionAlreadyExists: ") || !client.IsAnswer(err) || client.Refused(err) {
		t.Errorf("a second execution with the same name: %v", err)
	}
	return arn
}

// drives resumes an execution, and waits until its task is pending.
func drives(t *testing.T, c *client.Client, arn string, w worker) {
	t.Helper()
	for _, want := range []map[string]string{{arn: ""}, {}} {
		got, known, err := c.Interrupted(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || !known || err != nil {
			t.Errorf("resting (%t, %v):\n%s", known, err, diff)
		}
		if err := c.Resume(t.Context(), arn); err != nil {
			t.Fatal(err)
		}
	}
	<-w.waits
}

// describes reads everything about an execution whose task is pending.
func describes(t *testing.T, c *client.Client, arn, origin string) {
	t.Helper()
	ctx := t.Context()
	about, err := c.Info(ctx)
	if about.Name != "rayorch" || about.Version != "1.2.3" || len(about.Features) == 0 || err != nil {
		t.Errorf("info: %+v, %v", about, err)
	}
	if err := c.Watch(ctx, arn, 0); err != nil {
		t.Errorf("watch: %v", err)
	}
	logs, err := c.Logs(ctx, arn)
	if len(logs) != 1 || logs[0].State != "T" || logs[0].Attempt != 1 || logs[0].Size != 6 || logs[0].Started.IsZero() || err != nil {
		t.Fatalf("logs: %+v, %v", logs, err)
	}
	for _, q := range []engine.LogQuery{{Task: logs[0].Task}, {Event: logs[0].Event}, {State: "T"}, {State: "T", Attempt: 1}} {
		r, err := c.OpenLog(ctx, arn, q)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if string(text) != "hello\n" || errors.Join(err, r.Close()) != nil {
			t.Errorf("log %+v: %q, %v", q, text, err)
		}
	}
	if _, err := c.OpenLog(ctx, arn, engine.LogQuery{State: "T", Attempt: 2}); !errors.Is(err, engine.ErrNoLog) {
		t.Errorf("a log that does not exist: %v", err)
	}
	waits, err := c.Pending(ctx, arn)
	want := []engine.Pending{{State: "T", Attempt: 1, Since: since, Reason: "no room"}}
	if diff := cmp.Diff(want, waits, cmpopts.IgnoreFields(engine.Pending{}, "Event")); diff != "" || err != nil || waits[0].Event == 0 {
		t.Errorf("pending (%v):\n%s", err, diff)
	}
	if got, err := c.Origin(ctx, arn); got != origin || err != nil {
		t.Errorf("origin: %q, %v", got, err)
	}
}

// stops stops an execution, waits for its cleanup, and reads the cleanup report.
func stops(t *testing.T, c *client.Client, arn string) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.SFN.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		var err error
		if n, err = c.PendingEffects(ctx, arn); err != nil {
			t.Fatal(err)
		}
	}
	done, err := c.CleanupReport(ctx, arn)
	want := []engine.CleanupEntry{{Type: engine.TaskStopped, State: "T", Attempt: 1, Resource: "arn:aws:states:::process:run.sync", Outcome: "killed"}}
	if diff := cmp.Diff(want, done, cmpopts.IgnoreFields(engine.CleanupEntry{}, "Time")); diff != "" || err != nil || done[0].Time.IsZero() {
		t.Errorf("cleanup report (%v):\n%s", err, diff)
	}
}

// ownersOnly calls the methods for paths that only the owner of a state directory has. Other servers get no such request.
func ownersOnly(t *testing.T, c *client.Client, kept *owner, isOwner bool) {
	t.Helper()
	ctx := t.Context()
	names, err := c.MissingSecrets(ctx, "arn")
	if wants := len(names) == 1 && names[0] == "TOKEN"; wants != isOwner || err != nil {
		t.Errorf("wanted secrets: %v, %v", names, err)
	}
	if err := errors.Join(c.SendSecrets(ctx, "arn", map[string]string{"TOKEN": "value"}), c.AddCode(ctx, "arn", []snapshot.Source{{Path: "/src"}})); err != nil {
		t.Error(err)
	}
	if took := kept.secrets["TOKEN"] == "value" && len(kept.sources) == 1; took != isOwner {
		t.Errorf("the owner received %v and %v", kept.secrets, kept.sources)
	}
	all, err := c.Code(ctx, "arn")
	users, err2 := c.CodeUsers(ctx)
	if has := len(all) == 1 && all[0].Path == "/src" && len(users["_ray_pkg_1.zip"]) == 1; has != isOwner || errors.Join(err, err2) != nil {
		t.Errorf("code: %v, %v; users: %v, %v", all, err, users, err2)
	}
	link, err := c.ConsoleLink(ctx)
	if has := strings.HasSuffix(link, "#/login/1"); has != isOwner || err != nil {
		t.Errorf("link: %q, %v", link, err)
	}
	if !isOwner {
		return
	}
	// The error is the owner's reason, whether the owner is this process or another.
	if err := c.AddCode(ctx, "arn", []snapshot.Source{{Path: "relative"}}); err == nil || err.Error() != `the path "relative" must be absolute` {
		t.Errorf("a relative path: %v", err)
	}
	if _, err := c.PendingEffects(ctx, "arn:none"); err == nil || strings.Contains(err.Error(), "the server returned") {
		t.Errorf("an execution that does not exist: %v", err)
	}
}

// Refused recognizes a wrong key in the responses of actions and of rayorch's own paths.
func TestRefused(t *testing.T) {
	eng, cat := open(t, vfs.NewMem(), worker{})
	defer closeEngine(t, eng)
	c := remote(t, api.New(api.Config{
		Engine: eng, Catalog: cat, Logger: slog.New(slog.DiscardHandler), Keys: access.Keys{"AKID": {Secret: "secret", Role: access.Admin}},
	}), "AKID", "wrong")
	_, err := c.PendingEffects(t.Context(), "arn")
	if !client.Refused(err) || err.Error() != "the server returned 401 Unauthorized for /rayorch/v1/left" {
		t.Errorf("own path: %v", err)
	}
	if _, err := c.MachineARN(t.Context(), "m"); !client.Refused(err) {
		t.Errorf("action: %v", err)
	}
	var dial *net.OpError
	_, err = client.Endpoint(aws.Config{}, "http://127.0.0.1:1").PendingEffects(t.Context(), "arn")
	if !errors.As(err, &dial) || client.Refused(err) || client.IsAnswer(err) {
		t.Errorf("unreachable server: %v", err)
	}
}

// Resume splits many executions into requests that a server accepts. Without executions, the request is for all of them.
func TestResume(t *testing.T) {
	var got [][]string
	c := local(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Query()["execution"])
		w.WriteHeader(http.StatusNoContent)
	}))
	var arns []string
	for i := range 250 {
		arns = append(arns, fmt.Sprint("arn", i))
	}
	if err := errors.Join(c.Resume(t.Context(), arns...), c.Resume(t.Context())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{arns[:100], arns[100:200], arns[200:], nil}, got); diff != "" {
		t.Error(diff)
	}
}
