package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// metrics are the metrics of the API. /metrics also has those of the engine, the limits, the Go runtime and the process.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	// byAction caches the time series of successful requests, so that a request does not look them up by labels.
	byAction map[string]series
}

// series are the time series of one action.
type series struct {
	ok       prometheus.Counter
	duration prometheus.Observer
}

// newMetrics creates the metrics in a new registry. Several servers in one process (in tests) would conflict in the default one.
func newMetrics(e *engine.Engine, l *limit.Limits) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rayorch_api_requests_total", Help: "Requests of the Step Functions API, by action and by error code.",
		}, []string{"action", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rayorch_api_request_seconds", Help: "Duration of requests of the Step Functions API, in seconds.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 1, 10, 60},
		}, []string{"action"}),
		byAction: map[string]series{},
	}
	m.registry.MustRegister(m.requests, m.duration, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), engineMetrics{e},
		limitMetrics{l})
	for name := range actions {
		m.byAction[name] = series{m.requests.WithLabelValues(name, "ok"), m.duration.WithLabelValues(name)}
	}
	return m
}

// request counts an answered request. code is the error code, "" if the request succeeded. a is nil if the action is unknown.
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

// engineMetrics is a Prometheus collector that reads the engine's counts at each scrape.
type engineMetrics struct{ e *engine.Engine }

var (
	closedExecutions = prometheus.NewDesc("rayorch_executions_closed_total", "Executions that ended, by status.", []string{"status"}, nil)
	startedTotal     = prometheus.NewDesc("rayorch_executions_started_total", "Executions started.", nil, nil)
	eventsTotal      = prometheus.NewDesc("rayorch_events_total", "Events written to histories.", nil, nil)
	commitsTotal     = prometheus.NewDesc("rayorch_commits_total", "Commits to the store.", nil, nil)
	tasksTotal       = prometheus.NewDesc("rayorch_tasks_total", "Task attempts started.", nil, nil)
	openExecutions   = prometheus.NewDesc("rayorch_executions_open", "Executions that have not ended.", nil, nil)
	parkedExecutions = prometheus.NewDesc("rayorch_executions_parked",
		"Parked executions: the server died twice during one of their steps.", nil, nil)
	runningTasks    = prometheus.NewDesc("rayorch_tasks_running", "Task attempts that a runner is working on.", nil, nil)
	armedTimers     = prometheus.NewDesc("rayorch_timers", "Armed timers.", nil, nil)
	storeReadErrors = prometheus.NewDesc("rayorch_store_read_errors_total",
		"Reads of the database that failed because it is damaged.", nil, nil)
	storeBackground = prometheus.NewDesc("rayorch_store_background_errors_total",
		"Flushes and compactions of the database that failed.", nil, nil)
	hotExecutions = prometheus.NewDesc("rayorch_executions_in_memory", "Executions in memory.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m engineMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m engineMetrics) Collect(to chan<- prometheus.Metric) {
	now := m.e.Metrics()
	send := func(kind prometheus.ValueType, d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, float64(n), labels...)
	}
	send(prometheus.CounterValue, startedTotal, now.Started)
	send(prometheus.CounterValue, closedExecutions, now.Succeeded, string(stepfn.Succeeded))
	send(prometheus.CounterValue, closedExecutions, now.Failed, string(stepfn.Failed))
	send(prometheus.CounterValue, closedExecutions, now.TimedOut, string(stepfn.TimedOut))
	send(prometheus.CounterValue, closedExecutions, now.Aborted, string(stepfn.Aborted))
	send(prometheus.CounterValue, eventsTotal, now.Events)
	send(prometheus.CounterValue, commitsTotal, now.Commits)
	send(prometheus.CounterValue, tasksTotal, now.Tasks)
	send(prometheus.GaugeValue, openExecutions, now.OpenRuns)
	send(prometheus.GaugeValue, parkedExecutions, now.ParkedRuns)
	send(prometheus.GaugeValue, runningTasks, now.RunningTasks)
	send(prometheus.GaugeValue, armedTimers, now.Timers)
	send(prometheus.CounterValue, storeReadErrors, m.e.Store().ReadErrors())
	send(prometheus.CounterValue, storeBackground, m.e.Store().BackgroundErrors())
	send(prometheus.GaugeValue, hotExecutions, now.HotRuns)
}
