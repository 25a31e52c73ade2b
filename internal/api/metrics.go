package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// metrics are what /metrics shows.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	// byAction holds the series of requests that succeed, so that a request looks none up by labels.
	byAction map[string]series
}

// series are the two metrics of one action.
type series struct {
	ok       prometheus.Counter
	duration prometheus.Observer
}

// newMetrics makes a registry of the server's own: several servers in one process (tests) must not meet in the
// default one.
func newMetrics(e *engine.Engine, l *limit.Limits) *metrics {
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
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), engineMetrics{e},
		limitMetrics{l})
	for name := range actions {
		m.byAction[name] = series{m.requests.WithLabelValues(name, "ok"), m.duration.WithLabelValues(name)}
	}
	return m
}

// request counts one answer; code is empty when it was no error.
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

// engineMetrics shows the engine's own counts when they are asked for.
type engineMetrics struct{ e *engine.Engine }

var (
	closedExecutions = prometheus.NewDesc("rayorch_executions_closed_total", "Executions that ended, by status.", []string{"status"}, nil)
	startedTotal     = prometheus.NewDesc("rayorch_executions_started_total", "Executions that were started.", nil, nil)
	eventsTotal      = prometheus.NewDesc("rayorch_events_total", "Events written to histories.", nil, nil)
	commitsTotal     = prometheus.NewDesc("rayorch_commits_total", "Commits to the store.", nil, nil)
	tasksTotal       = prometheus.NewDesc("rayorch_tasks_total", "Attempts of tasks handed to runners.", nil, nil)
	openExecutions   = prometheus.NewDesc("rayorch_executions_open", "Executions that have not ended.", nil, nil)
	parkedExecutions = prometheus.NewDesc("rayorch_executions_parked", "Parked executions: the server died twice during one of their steps.", nil, nil)
	runningTasks     = prometheus.NewDesc("rayorch_tasks_running", "Tasks that are with a runner.", nil, nil)
	armedTimers      = prometheus.NewDesc("rayorch_timers", "Timers that are armed.", nil, nil)
	storeReadErrors  = prometheus.NewDesc("rayorch_store_read_errors_total", "Reads of the database that failed because it is damaged.", nil, nil)
	storeBackground  = prometheus.NewDesc("rayorch_store_background_errors_total", "Flushes and compactions of the database that failed.", nil, nil)
	hotExecutions    = prometheus.NewDesc("rayorch_executions_in_memory", "Executions that are held in memory.", nil, nil)
)

// Describe lists what Collect gives.
func (m engineMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect reads the counts.
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
