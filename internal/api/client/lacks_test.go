package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/snapshot"
)

// answer is the text of what a method returned.
func answer(v any, err error) string {
	var missing *client.MissingError
	switch {
	case errors.As(err, &missing):
		return fmt.Sprintf("error: %s; hint: %s", err, missing.Hint())
	case err != nil:
		return "error: " + err.Error()
	}
	return fmt.Sprint(v)
}

// ask calls every method for one of rayorch's own paths.
func ask(ctx context.Context, c *client.Client) map[string]string {
	out := map[string]string{}
	about, err := c.Info(ctx)
	out["Info"] = answer(about.Name, err)
	out["Watch"] = answer("waited", c.Watch(ctx, "arn", 0))
	logs, err := c.Logs(ctx, "arn")
	out["Logs"] = answer(len(logs), err)
	r, err := c.OpenLog(ctx, "arn", engine.LogQuery{State: "T"})
	if err == nil {
		err = r.Close()
	}
	out["OpenLog"] = answer("", err)
	waits, err := c.Pending(ctx, "arn")
	out["Pending"] = answer(len(waits), err)
	done, err := c.CleanupReport(ctx, "arn")
	out["CleanupReport"] = answer(len(done), err)
	left, err := c.Left(ctx, "arn")
	out["Left"] = answer(left, err)
	origin, err := c.Origin(ctx, "arn")
	out["Origin"] = answer(origin, err)
	resting, known, err := c.Resting(ctx)
	out["Resting"] = answer(fmt.Sprint(resting, known), err)
	out["Resume"] = answer("done", c.Resume(ctx, "arn"))
	code, err := c.Code(ctx, "arn")
	out["Code"] = answer(len(code), err)
	users, err := c.CodeUsers(ctx)
	out["CodeUsers"] = answer(users == nil, err)
	out["NameCode"] = answer("done", c.NameCode(ctx, "arn", []snapshot.Source{{Path: "/src"}}))
	wanted, err := c.WantedSecrets(ctx, "arn")
	out["WantedSecrets"] = answer(len(wanted), err)
	out["GiveSecrets"] = answer("done", c.GiveSecrets(ctx, "arn", map[string]string{"TOKEN": "value"}))
	link, err := c.ConsoleLink(ctx)
	out["ConsoleLink"] = answer(link, err)
	return out
}

// tolerated are the answers of a server that has none of the paths, where commands can do without.
var tolerated = map[string]string{
	"Pending": "0", "Origin": "", "Resting": "map[] false", "Code": "0", "CodeUsers": "true", "WantedSecrets": "0", "ConsoleLink": "",
}

// with adds answers to those that are tolerated.
func with(more map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{tolerated, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// older answers as a server of an earlier release that has only /rayorch/v1/info.
func older() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rayorch/v1/info", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name": "rayorch", "version": "0.0.1", "features": ["info"]}`)
	})
	return mux
}

// TestOwnerOfAnOlderRelease keeps a run from starting with an owner whose task runners do not know what the definition asks of them.
func TestOwnerOfAnOlderRelease(t *testing.T) {
	const restart = "; hint: restart that process with this release, or use another directory with --state-dir"
	lacks := func(path string) string {
		return "error: process 7 (rayorch 0.0.1) owns the state directory and is of an older release, which does not have the path /rayorch/v1/" + path + restart
	}
	want := with(map[string]string{
		"Info": "rayorch", "Watch": lacks("watch"), "Logs": lacks("logs"), "OpenLog": lacks("log"), "CleanupReport": lacks("aftermath"),
		"Left": lacks("left"), "Resume": lacks("resume"),
		"NameCode": "error: process 7 (rayorch 0.0.1) owns the state directory and is of an older release, which cannot run this pipeline" + restart,
		"GiveSecrets": "error: process 7 (rayorch 0.0.1) owns the state directory and does not take this run's secrets: " +
			"the server answered 404 Not Found to secrets; hint: stop that process, or use another directory with --state-dir",
	})
	if diff := cmp.Diff(want, ask(t.Context(), local(t, older()))); diff != "" {
		t.Error(diff)
	}
}

// TestServerWithoutThePaths names the server's release where a command needs a path. Other Step Functions APIs answer unknown paths as
// they like.
func TestServerWithoutThePaths(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.Handler
		info    string
		// lacks is what the error for a path is, URL standing for the server's.
		lacks func(path string) string
	}{
		"an older rayorch": {older(), "rayorch", func(path string) string {
			return "error: the server at URL (rayorch 0.0.1) does not have the path /rayorch/v1/" + path +
				", which this command needs; hint: upgrade the server to the release of this command"
		}},
		"another API": {http.NotFoundHandler(), "", func(path string) string {
			return "error: the server at URL (not rayorch) does not have the path /rayorch/v1/" + path + ", which this command needs; hint: "
		}},
		"another API, which answers everything with an error": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>", http.StatusBadRequest)
		}), "", func(path string) string { return "error: the server answered 400 Bad Request to " + path }},
	} {
		t.Run(name, func(t *testing.T) {
			c := remote(t, tc.handler, "", "")
			site, err := c.Site(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := with(map[string]string{
				"Info": tc.info, "Watch": tc.lacks("watch"), "Logs": tc.lacks("logs"), "OpenLog": tc.lacks("log"), "CleanupReport": tc.lacks("aftermath"),
				"Left": tc.lacks("left"), "Resume": "done", "NameCode": "done", "GiveSecrets": "done",
			})
			if name == "another API, which answers everything with an error" {
				want["Origin"] = tc.lacks("origin")
			}
			got := ask(t.Context(), c)
			for k, v := range got {
				got[k] = strings.ReplaceAll(v, site.URL.String(), "URL")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if err := c.KeepsLogs(t.Context()); err != nil {
				t.Errorf("it may keep logs: %v", err)
			}
		})
	}
}

// TestAWS asks AWS for nothing that it does not have: the test has no network.
func TestAWS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client.AWS(aws.Config{Region: "eu-central-1"})
		const noLogs = "error: step functions on aws keeps no logs of jobs; hint: the jobs' logs are where the target sends them"
		want := with(map[string]string{
			"Info": "", "Watch": "waited", "Logs": noLogs, "OpenLog": noLogs, "CleanupReport": "0", "Left": "0", "Resume": "done",
			"NameCode": "done", "GiveSecrets": "done",
		})
		began := time.Now()
		if diff := cmp.Diff(want, ask(t.Context(), c)); diff != "" {
			t.Error(diff)
		}
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("Watch waited %s before the history is read again", waited)
		}
		if got := answer("", c.KeepsLogs(t.Context())); got != noLogs {
			t.Errorf("logs: %s", got)
		}
		site, err := c.Site(t.Context())
		if err != nil || site.URL.String() != "https://states.eu-central-1.amazonaws.com" || site.Name != "AWS eu-central-1" || site.Extras || site.Sign == nil {
			t.Errorf("the site is %+v, %v", site, err)
		}
	})
}

// TestOtherRelease recognises that a server does not understand a definition because it is of another release.
func TestOtherRelease(t *testing.T) {
	const cause = `the arguments of ray:submitJob.sync: unknown field "New"`
	old, none := remote(t, older(), "", ""), remote(t, http.NotFoundHandler(), "", "")
	for _, tc := range []struct {
		name         string
		c            *client.Client
		ours, reason string
		found        bool
	}{
		{"a cause", old, "0.0.2", cause, true},
		{"an error", old, "0.0.2", "register the pipeline: InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: ...'", true},
		{"the same release", old, "0.0.1", cause, false},
		{"a job's own error", old, "0.0.2", `ValueError: unknown field "x"`, false},
		{"another API", none, "0.0.2", cause, false},
		{"the owner", local(t, older()), "0.0.2", cause, false},
		{"aws", client.AWS(aws.Config{Region: "us-east-1"}), "0.0.2", cause, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.c.OtherRelease(t.Context(), tc.ours, tc.reason)
			if want := "is rayorch 0.0.1 and this command is rayorch 0.0.2: use the same release of both"; tc.found != strings.HasSuffix(got, want) || !tc.found && got != "" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// notForCommands are documented endpoints that no command calls, and why.
var notForCommands = map[string]string{
	"GET /rayorch/v1/executions": "the console's list; commands list by ListExecutions, as on AWS",
	"GET /rayorch/v1/counts":     "the console's start page",
	"GET /rayorch/v1/changes":    "the console's list, which redraws itself",
	"GET /rayorch/v1/view":       "the console's page of an execution; commands fold the history themselves, as on AWS",
}

// TestEachPathHasAMethod compares the requests of all methods with the endpoints in docs/serve.md, in both directions.
func TestEachPathHasAMethod(t *testing.T) {
	text, err := os.ReadFile("../../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST) /rayorch/v1/[^`]*)`").FindAllStringSubmatch(string(text), -1) {
		if notForCommands[m[1]] == "" {
			documented = append(documented, m[1])
		}
	}
	var mu sync.Mutex
	var asked []string
	ask(t.Context(), local(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		http.NotFound(w, r)
	})))
	slices.Sort(asked)
	slices.Sort(documented)
	if diff := cmp.Diff(documented, slices.Compact(asked)); diff != "" || len(asked) == 0 {
		t.Errorf("the methods of Client (+) and docs/serve.md (-):\n%s", diff)
	}
}
