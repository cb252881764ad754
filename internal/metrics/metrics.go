// Package metrics puts a store and a process into Prometheus' words. What a worker
// serves and what ebb stats prints are the same.
package metrics

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// Figures are all there is to tell at one moment.
type Figures struct {
	Store   *Store          // nil: not asked, or it has not answered
	Process *control.Status // nil: none is asked about
	Slots   int             // of Process
}

// Store is a store in numbers.
type Store struct {
	store.Stats
	Queues    []Queue
	Processes []Process // that live
}

// Queue is a queue, and how it is served.
type Queue struct {
	store.Queue
	OldestWait float64 // of its next job, in seconds
	Served     int     // processes that take jobs from it
}

// Process is a process that lives, as it is counted.
type Process struct {
	Lang, State, Release string
	Slots, Busy          int
}

// Write writes the text format that Prometheus scrapes.
func Write(w io.Writer, f Figures) error {
	families, err := registry(f).Gather()
	if len(families) == 0 && err != nil {
		return fmt.Errorf("metrics: gather: %w", err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return fmt.Errorf("metrics: write %s: %w", family.GetName(), err)
		}
	}
	return nil
}

// Serve answers a scrape. Two samples that names too strange have made the same are
// told once.
func Serve(w http.ResponseWriter, r *http.Request, f Figures) {
	promhttp.HandlerFor(registry(f), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
}

// registry is made for one scrape: figures do not change while they are told.
func registry(f Figures) *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(f)
	return r
}

// Describe tells nothing, so that what is told is checked as it comes.
func (Figures) Describe(chan<- *prometheus.Desc) {}

// Collect tells the figures.
func (f Figures) Collect(to chan<- prometheus.Metric) {
	if s := f.Store; s != nil {
		s.totals(to)
		s.queues(to)
		s.books(to)
		s.processes(to)
	}
	if f.Process != nil {
		f.process(to)
	}
}

func gauge(to chan<- prometheus.Metric, name, help string, value float64, labels ...string) {
	tell(to, prometheus.GaugeValue, name, help, value, labels)
}

func counter(to chan<- prometheus.Metric, name, help string, value int64, labels ...string) {
	tell(to, prometheus.CounterValue, name, help, float64(value), labels)
}

// tell takes labels as name, value, name, value …
func tell(to chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, printable(labels[i+1]))
	}
	to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

// printable spells out what would control a terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func (s *Store) totals(to chan<- prometheus.Metric) {
	counter(to, "ebb_runs_total", "Runs of jobs that ended, failures included.", s.Processed)
	counter(to, "ebb_runs_failed_total", "Runs of jobs that failed.", s.Failed)
	for place, n := range map[string]int64{"ready": s.Ready, "scheduled": s.Scheduled, "retry": s.Retrying, "held": s.Held, "dead": s.Dead} {
		gauge(to, "ebb_jobs", "Jobs by where they are.", float64(n), "place", place)
	}
}

func (s *Store) queues(to chan<- prometheus.Metric) {
	for _, q := range s.Queues {
		gauge(to, "ebb_queue_depth", "Jobs that wait in a queue.", float64(q.Waiting), "queue", q.Name)
		gauge(to, "ebb_queue_held", "Jobs of a queue that processes hold.", float64(q.Held), "queue", q.Name)
		gauge(to, "ebb_queue_oldest_wait_seconds", "How long the next job of a queue has waited.", q.OldestWait, "queue", q.Name)
		gauge(to, "ebb_queue_paused", "1 if a queue is paused.", oneIf(q.Paused), "queue", q.Name)
		gauge(to, "ebb_queue_processes", "Processes that take jobs from a queue.", float64(q.Served), "queue", q.Name)
	}
}

// books are counts that only ever rise, and what is missing.
func (s *Store) books(to chan<- prometheus.Metric) {
	for _, b := range s.Books {
		for _, c := range []struct {
			name, help string
			n          int64
		}{
			{"accepted", "Jobs that came into a queue.", b.Accepted},
			{"done", "Jobs that are done.", b.Done},
			{"discarded", "Jobs that their handler discarded.", b.Discarded},
			{"expired", "Jobs that were too old to begin.", b.Expired},
			{"deleted", "Jobs that were deleted by hand.", b.Deleted},
			{"trimmed", "Jobs that the dead set had no room for.", b.Trimmed},
			{"moved", "Jobs that went to another queue.", b.Moved},
			{"fetched", "Jobs that processes took into their keeping.", b.Fetched},
			{"retried", "Jobs that went to the retry set, or were snoozed.", b.Retried},
			{"buried", "Jobs that went to the dead set.", b.Buried},
			{"requeued", "Jobs that were interrupted, and handed back unfinished.", b.Requeued},
			{"rescued", "Jobs that were taken from processes that are gone.", b.Rescued},
		} {
			counter(to, "ebb_queue_"+c.name+"_total", c.help, c.n, "queue", b.Queue)
		}
		gauge(to, "ebb_books_custody_missing", "Jobs that were fetched and are not accounted for: lost; 0 for good.", float64(b.Custody()), "queue", b.Queue)
		if !b.Shared {
			gauge(to, "ebb_books_arrivals_missing", "Jobs that were accepted and are not accounted for: lost; 0 for good. None where others push or pop too.",
				float64(b.Arrivals()), "queue", b.Queue)
		}
	}
}

// processes counts processes rather than naming them: each deploy would leave names
// behind for ever.
func (s *Store) processes(to chan<- prometheus.Metric) {
	type group struct{ lang, state, release string }
	counts := map[group]int{}
	slots, busy := 0, 0
	for _, p := range s.Processes {
		counts[group{p.Lang, p.State, p.Release}]++
		slots += p.Slots
		busy += p.Busy
	}
	for g, n := range counts {
		gauge(to, "ebb_processes", "Living processes by language, state and release.", float64(n), "lang", g.lang, "state", g.state, "release", g.release)
	}
	gauge(to, "ebb_slots", "Slots of living processes.", float64(slots))
	gauge(to, "ebb_slots_busy", "Slots in which a job runs.", float64(busy))
}

func (f Figures) process(to chan<- prometheus.Metric) {
	p := f.Process
	for state := lifecycle.Running; state <= lifecycle.Stopped; state++ {
		gauge(to, "ebb_process_phase", "1 for the phase that this process is in.", oneIf(p.State == state.String()), "phase", state.String())
	}
	gauge(to, "ebb_process_slots", "Slots of this process.", float64(f.Slots))
	gauge(to, "ebb_process_busy", "Slots of this process in which a job runs.", float64(len(p.Busy)))
	gauge(to, "ebb_process_grace_seconds", "Time between the notice to this process and its KILL.", p.Grace.Seconds())
	used := 0.0
	if !p.Deadlines.IsZero() {
		used = time.Since(p.Deadlines.Notice).Seconds()
	}
	gauge(to, "ebb_process_grace_used_seconds", "How much of the grace the stop under way has used; 0 without one.", used)
	gauge(to, "ebb_store_up", "1 if the store has answered this scrape.", oneIf(f.Store != nil))
}

func oneIf(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

// Feed is what an autoscaler looks at, for some queues together. Scaling on Jobs
// never leaves fewer processes than are busy.
type Feed struct {
	Waiting    int64   `json:"waiting"`
	Running    int64   `json:"running"` // fetched, and not done
	Jobs       int64   `json:"jobs"`    // both
	OldestWait float64 `json:"oldest_wait_seconds"`
}

// Sum adds up the queues that are named. What waits in a paused one does not count,
// since more processes would not run it.
func (s *Store) Sum(queues map[string]bool) (f Feed) {
	for _, q := range s.Queues {
		if !queues[q.Name] {
			continue
		}
		f.Running += q.Held
		if !q.Paused {
			f.Waiting += q.Waiting
			f.OldestWait = max(f.OldestWait, q.OldestWait)
		}
	}
	f.Jobs = f.Waiting + f.Running
	return f
}
