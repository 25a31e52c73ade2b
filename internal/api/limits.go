package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rayorch/rayorch/internal/api/limit"
)

// admitConn marks the connection of an authenticated caller, so that the server does not close it in favor of others. It returns
// an error if there are too many such connections.
func (s *Server) admitConn(r *http.Request) error {
	if limit.MarkAuthenticated(r.Context()) {
		return nil
	}
	return &fault{"ThrottlingException", "too many connections: try again", http.StatusServiceUnavailable}
}

// readBody reads the body. A body that does not arrive in time counts as a failed sign-in attempt: the signature cannot be
// verified without it, and a sender without the secret could hold connections this way.
func (s *Server) readBody(c *call, r *http.Request, who *claim) error {
	err := c.read(r)
	var f *fault
	if errors.As(err, &f) && f.Status == http.StatusRequestTimeout && who.signed {
		_ = s.checkAttempt(r, limit.Signature, who.sig.key, func() bool { return false })
	}
	return err
}

// changes reports whether an action has effects, so that a replay of its request must be rejected. TestState runs the state that
// it tests, and GetActivityTask assigns a task to the caller: both have effects.
func (a *action) changes() bool {
	for _, prefix := range []string{"Describe", "List", "Validate"} {
		if strings.HasPrefix(a.name, prefix) {
			return false
		}
	}
	return a.name != "GetExecutionHistory"
}

// limitMetrics is a Prometheus collector of the counts of the limits.
type limitMetrics struct{ l *limit.Limits }

var (
	failedAttempts = prometheus.NewDesc("rayorch_failed_attempts_total",
		"Failed sign-in attempts, by method: signature, password, form, link.", []string{"method"}, nil)
	openConns   = prometheus.NewDesc("rayorch_connections", "Open TCP connections.", nil, nil)
	closedConns = prometheus.NewDesc("rayorch_connections_closed_total", "Connections closed because there were too many.", nil, nil)
	bodyBytes   = prometheus.NewDesc("rayorch_request_body_bytes",
		"Bytes of request bodies that count toward the limit for all requests.", nil, nil)
	refusedBodies = prometheus.NewDesc("rayorch_request_bodies_refused_total",
		"Request bodies refused because the limit for all requests was reached.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m limitMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{failedAttempts, openConns, closedConns, bodyBytes, refusedBodies} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m limitMetrics) Collect(to chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, float64(n), labels...)
	}
	failed, now := m.l.Attempts.Failed(), m.l.Usage()
	for _, method := range []limit.Method{limit.Signature, limit.Password, limit.Form, limit.Link} {
		send(prometheus.CounterValue, failedAttempts, failed[method], string(method))
	}
	send(prometheus.GaugeValue, openConns, now.Conns)
	send(prometheus.CounterValue, closedConns, now.ConnsClosed)
	send(prometheus.GaugeValue, bodyBytes, now.BodyBytes)
	send(prometheus.CounterValue, refusedBodies, now.BodiesRefused)
}
