package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/view/progress"
)

// dashboardWait is how long a dashboard may take to answer. The dashboards of a run are queried concurrently.
const dashboardWait = time.Second

// linkDashboards adds links to Ray's dashboard to the steps whose Ray still answers.
func (s *session) linkDashboards(ctx context.Context, sum *summary, v *progress.View) {
	ctx, cancel := context.WithTimeout(ctx, dashboardWait)
	defer cancel()
	jobs := map[string]progress.Job{}
	for _, st := range v.Steps() {
		if st.Job.Dashboard() != "" {
			jobs[rayOf(st.Job)] = st.Job
		}
	}
	var mu sync.Mutex
	var queries sync.WaitGroup
	up := map[string]bool{}
	for key, job := range jobs {
		queries.Go(func() {
			is := !s.stopsRay(ctx, job.Address) && answers(ctx, job)
			mu.Lock()
			defer mu.Unlock()
			up[key] = is
		})
	}
	queries.Wait()
	for i, st := range v.Steps() {
		if up[rayOf(st.Job)] {
			sum.Steps[i].Dashboard = st.Job.Dashboard()
		}
	}
}

// rayOf identifies the Ray session that a job ran in: a restarted Ray has the same address, but does not know the job.
func rayOf(j progress.Job) string { return j.Address + " " + j.SessionName }

// answers reports whether the Ray that ran a job serves its dashboard. A server that requires a token, or whose certificate
// only the browser trusts, counts as that Ray.
func answers(ctx context.Context, j progress.Job) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(j.Address, "/")+"/api/version", nil)
	if err != nil {
		return false
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	var certificate *tls.CertificateVerificationError
	if err != nil {
		return errors.As(err, &certificate)
	}
	defer func() { _ = resp.Body.Close() }()
	var version struct {
		Session string `json:"session_name"`
	}
	if resp.StatusCode == http.StatusOK {
		_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&version) // the response of another server has no session
		return version.Session != "" && (j.SessionName == "" || version.Session == j.SessionName)
	}
	return resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
}

// stopsRay reports whether this command stops the Ray at an address when it exits: a Ray that was started for runs is stopped when no
// run is open.
func (s *session) stopsRay(ctx context.Context, address string) bool {
	if s.owner == nil || s.owner.runners == nil {
		return false
	}
	own := s.owner.runners.find.resolver.Own
	if own == nil {
		return false
	}
	state, err := own.Status(ctx)
	if err != nil || state.Address != address {
		return false
	}
	if _, err := os.Stat(rayForRuns(own)); err != nil {
		return false
	}
	open, err := s.openExecutions(ctx)
	return err == nil && len(open) == 0
}
