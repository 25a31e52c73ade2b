package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rayorch/rayorch/internal/engine"
)

// metrics are what /metrics shows.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	// byAction holds the series of requests that succeed, so that a request looks none up by labels.
	byAction map[string]series
}

type series struct {
	ok       prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(*engine.Engine) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rayorch_api_requests_total", Help: "Requests of the Step Functions API, by action and by error code.",
		}, []string{"action", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rayorch_api_request_seconds", Help: "How long requests of the Step Functions API took.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 1, 10, 60},
		}, []string{"action"}),
		byAction: map[string]series{},
	}
	m.registry.MustRegister(m.requests, m.duration, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for name := range actions {
		m.byAction[name] = series{m.requests.WithLabelValues(name, "ok"), m.duration.WithLabelValues(name)}
	}
	return m
}

func (m *metrics) request(a *action, code string, took time.Duration) {
	if a == nil {
		m.requests.WithLabelValues("unknown", code).Inc()
		return
	}
	of := m.byAction[a.name]
	of.duration.Observe(took.Seconds())
	if code == "" {
		of.ok.Inc()
	} else {
		m.requests.WithLabelValues(a.name, code).Inc()
	}
}
