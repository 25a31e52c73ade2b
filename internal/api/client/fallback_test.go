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
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// result formats what a method returned.
func result(v any, err error) string {
	var missing *client.MissingError
	switch {
	case errors.As(err, &missing):
		return fmt.Sprintf("error: %s; hint: %s", err, missing.Hint())
	case err != nil:
		return "error: " + err.Error()
	}
	return fmt.Sprint(v)
}

// callAll calls each method for one of rayorch's own paths, and returns the results by method.
func callAll(ctx context.Context, c *client.Client) map[string]string {
	out := map[string]string{}
	about, err := c.Info(ctx)
	out["Info"] = result(about.Name, err)
	out["Watch"] = result("waited", c.Watch(ctx, "arn", 0))
	logs, err := c.Logs(ctx, "arn")
	out["Logs"] = result(len(logs), err)
	r, err := c.OpenLog(ctx, "arn", engine.LogQuery{State: "T"})
	if err == nil {
		err = r.Close()
	}
	out["OpenLog"] = result("", err)
	waits, err := c.Pending(ctx, "arn")
	out["Pending"] = result(len(waits), err)
	done, err := c.CleanupReport(ctx, "arn")
	out["CleanupReport"] = result(len(done), err)
	left, err := c.PendingEffects(ctx, "arn")
	out["PendingEffects"] = result(left, err)
	origin, err := c.Origin(ctx, "arn")
	out["Origin"] = result(origin, err)
	resting, known, err := c.Interrupted(ctx)
	out["Interrupted"] = result(fmt.Sprint(resting, known), err)
	out["Resume"] = result("done", c.Resume(ctx, "arn"))
	code, err := c.Code(ctx, "arn")
	out["Code"] = result(len(code), err)
	users, err := c.CodeUsers(ctx)
	out["CodeUsers"] = result(users == nil, err)
	out["AddCode"] = result("done", c.AddCode(ctx, "arn", []snapshot.Source{{Path: "/src"}}))
	wanted, err := c.MissingSecrets(ctx, "arn")
	out["MissingSecrets"] = result(len(wanted), err)
	out["SendSecrets"] = result("done", c.SendSecrets(ctx, "arn", map[string]string{"TOKEN": "value"}))
	link, err := c.ConsoleLink(ctx)
	out["ConsoleLink"] = result(link, err)
	return out
}

// tolerated are the results of methods whose path commands can do without, from a server that has none of the paths.
var tolerated = map[string]string{
	"Pending": "0", "Origin": "", "Interrupted": "map[] false", "Code": "0", "CodeUsers": "true", "MissingSecrets": "0", "ConsoleLink": "",
}

// withTolerated adds results to the tolerated ones.
func withTolerated(more map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{tolerated, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// older is a server of an earlier release that has only /rayorch/v1/info.
func older() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rayorch/v1/info", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name": "rayorch", "version": "0.0.1", "features": ["info"]}`)
	})
	return mux
}

// A run must not start with an owner of an older release, whose task runners may not support the definition.
func TestOwnerOfAnOlderRelease(t *testing.T) {
	const restart = "; hint: restart that process with this release, or use another directory with --state-dir"
	missing := func(path string) string {
		return "error: process 7, which owns the state directory, runs an older release (rayorch 0.0.1), which does not have the path /rayorch/v1/" +
			path + restart
	}
	want := withTolerated(map[string]string{
		"Info": "rayorch", "Watch": missing("watch"), "Logs": missing("logs"), "OpenLog": missing("log"), "CleanupReport": missing("aftermath"),
		"PendingEffects": missing("left"), "Resume": missing("resume"),
		"AddCode": "error: process 7, which owns the state directory, runs an older release (rayorch 0.0.1), which cannot run this pipeline" +
			restart,
		"SendSecrets": "error: process 7 (rayorch 0.0.1), which owns the state directory, did not accept this run's secrets: " +
			"the server returned 404 Not Found for /rayorch/v1/secrets; " +
			"hint: stop that process, or use another directory with --state-dir",
	})
	if diff := cmp.Diff(want, callAll(t.Context(), local(t, older()))); diff != "" {
		t.Error(diff)
	}
}

// The error for a missing path contains the server's release. Other Step Functions APIs answer unknown paths in different ways.
func TestServerWithoutThePaths(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.Handler
		info    string
		// missing returns the error for a path, with URL in place of the server's URL.
		missing func(path string) string
	}{
		"older rayorch": {older(), "rayorch", func(path string) string {
			return "error: the server at URL (rayorch 0.0.1) does not have the path /rayorch/v1/" + path +
				", which this command needs; hint: upgrade the server to the release of this command"
		}},
		"another API": {http.NotFoundHandler(), "", func(path string) string {
			return "error: the server at URL (not rayorch) does not have the path /rayorch/v1/" + path + ", which this command needs; hint: "
		}},
		"another API that answers every request with an error": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>", http.StatusBadRequest)
		}), "", func(path string) string { return "error: the server returned 400 Bad Request for /rayorch/v1/" + path }},
	} {
		t.Run(name, func(t *testing.T) {
			c := remote(t, tc.handler, "", "")
			site, err := c.Site(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := withTolerated(map[string]string{
				"Info": tc.info, "Watch": tc.missing("watch"), "Logs": tc.missing("logs"), "OpenLog": tc.missing("log"), "CleanupReport": tc.missing("aftermath"),
				"PendingEffects": tc.missing("left"), "Resume": "done", "AddCode": "done", "SendSecrets": "done",
			})
			if name == "another API that answers every request with an error" {
				want["Origin"] = tc.missing("origin")
			}
			got := callAll(t.Context(), c)
			for k, v := range got {
				got[k] = strings.ReplaceAll(v, site.URL.String(), "URL")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if err := c.KeepsLogs(t.Context()); err != nil {
				t.Errorf("KeepsLogs: %v, want nil: the server may store logs", err)
			}
		})
	}
}

// No request for rayorch's own paths is sent to AWS. The test has no network, so that a request would fail.
func TestAWS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client.AWS(aws.Config{Region: "eu-central-1"})
		const noLogs = "error: AWS Step Functions does not store the logs of jobs; hint: read the logs in the place to which the target sends them"
		want := withTolerated(map[string]string{
			"Info": "", "Watch": "waited", "Logs": noLogs, "OpenLog": noLogs, "CleanupReport": "0", "PendingEffects": "0", "Resume": "done",
			"AddCode": "done", "SendSecrets": "done",
		})
		began := time.Now()
		if diff := cmp.Diff(want, callAll(t.Context(), c)); diff != "" {
			t.Error(diff)
		}
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("Watch waited %s, want 2s", waited)
		}
		if got := result("", c.KeepsLogs(t.Context())); got != noLogs {
			t.Errorf("KeepsLogs: %s", got)
		}
		site, err := c.Site(t.Context())
		if err != nil || site.URL.String() != "https://states.eu-central-1.amazonaws.com" || site.Name != "AWS eu-central-1" || site.Extras || site.Sign == nil {
			t.Errorf("site: %+v, %v", site, err)
		}
	})
}

func TestOtherRelease(t *testing.T) {
	const cause = `the arguments of ray:submitJob.sync: unknown field "New"`
	old, none := remote(t, older(), "", ""), remote(t, http.NotFoundHandler(), "", "")
	for _, tc := range []struct {
		name         string
		c            *client.Client
		ours, reason string
		found        bool
	}{
		{"cause", old, "0.0.2", cause, true},
		{"error", old, "0.0.2", "register the pipeline: InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: ...'", true},
		{"same release", old, "0.0.1", cause, false},
		{"error of a job", old, "0.0.2", `ValueError: unknown field "x"`, false},
		{"another API", none, "0.0.2", cause, false},
		{"owner", local(t, older()), "0.0.2", cause, false},
		{"aws", client.AWS(aws.Config{Region: "us-east-1"}), "0.0.2", cause, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.c.OtherRelease(t.Context(), tc.ours, tc.reason)
			if want := "is rayorch 0.0.1 and this command is rayorch 0.0.2: use the same release for both"; tc.found != strings.HasSuffix(got, want) || !tc.found && got != "" {
				t.Errorf("got %q, want a hint: %t", got, tc.found)
			}
		})
	}
}

// notForCommands are documented endpoints that no command calls, with the reasons.
var notForCommands = map[string]string{
	"GET /rayorch/v1/executions": "for the console's list; commands use ListExecutions, as on AWS",
	"GET /rayorch/v1/counts":     "for the console's start page",
	"GET /rayorch/v1/changes":    "for the console's list, which updates itself",
	"GET /rayorch/v1/view":       "for the console's page of an execution; commands compute the view from the history, as on AWS",
}

// The requests of all methods are exactly the endpoints in docs/serve.md.
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
	callAll(t.Context(), local(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		http.NotFound(w, r)
	})))
	slices.Sort(asked)
	slices.Sort(documented)
	if diff := cmp.Diff(documented, slices.Compact(asked)); diff != "" || len(asked) == 0 {
		t.Errorf("methods of Client (+), docs/serve.md (-):\n%s", diff)
	}
}
