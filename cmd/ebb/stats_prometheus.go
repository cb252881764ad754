package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// metric is one name in Prometheus' text format with its samples.
type metric struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	labels []string // name, value, name, value …
	value  float64
}

func (m *metric) add(value float64, labels ...string) {
	m.samples = append(m.samples, sample{labels, value})
}

// writePrometheus writes the text format, version 0.0.4: for each name its help, its
// type and all its samples, in one piece.
func writePrometheus(w io.Writer, info *statsInfo) error {
	var b strings.Builder
	for _, m := range slices.Concat(totals(info), ofQueues(info), ofBooks(info), ofProcesses(info)) {
		if len(m.samples) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", m.name, m.help, m.kind)
		for _, s := range m.samples {
			b.WriteString(m.name)
			for i := 0; i < len(s.labels); i += 2 {
				fmt.Fprintf(&b, `%c%s="%s"`, "{,"[min(i, 1)], s.labels[i], labelValue(s.labels[i+1]))
			}
			if len(s.labels) > 0 {
				b.WriteByte('}')
			}
			b.WriteString(" " + strconv.FormatFloat(s.value, 'g', -1, 64) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// labelValue escapes what ends a value, and spells out what would control a terminal:
// two names stay two.
func labelValue(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\\' || r == '"':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func totals(info *statsInfo) []metric {
	ended := metric{name: "ebb_runs_total", kind: "counter", help: "Runs of jobs that ended, failures included."}
	ended.add(float64(info.Processed))
	failed := metric{name: "ebb_runs_failed_total", kind: "counter", help: "Runs of jobs that failed."}
	failed.add(float64(info.Failed))
	jobs := metric{name: "ebb_jobs", kind: "gauge", help: "Jobs by where they are."}
	for _, place := range []struct {
		name string
		n    int64
	}{{"ready", info.Ready}, {"scheduled", info.Scheduled}, {"retry", info.Retrying}, {"held", info.Held}, {"dead", info.Dead}} {
		jobs.add(float64(place.n), "place", place.name)
	}
	return []metric{ended, failed, jobs}
}

func ofQueues(info *statsInfo) []metric {
	waiting := metric{name: "ebb_queue_waiting", kind: "gauge", help: "Jobs that wait in a queue."}
	held := metric{name: "ebb_queue_held", kind: "gauge", help: "Jobs of a queue that processes hold."}
	oldest := metric{name: "ebb_queue_oldest_wait_seconds", kind: "gauge", help: "How long the next job of a queue has waited."}
	paused := metric{name: "ebb_queue_paused", kind: "gauge", help: "1 if a queue is paused."}
	served := metric{name: "ebb_queue_processes", kind: "gauge", help: "Processes that take jobs from a queue."}
	for _, q := range info.Queues {
		waiting.add(float64(q.Waiting), "queue", q.Name)
		held.add(float64(q.Held), "queue", q.Name)
		oldest.add(q.OldestWait, "queue", q.Name)
		paused.add(oneIf(q.Paused), "queue", q.Name)
		served.add(float64(q.Processes), "queue", q.Name)
	}
	return []metric{waiting, held, oldest, paused, served}
}

func oneIf(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

// bookCounters are the counts of a queue's books that only ever rise.
var bookCounters = []struct {
	name, help string
	of         func(bookRow) int64
}{
	{"accepted", "Jobs that came into a queue.", func(b bookRow) int64 { return b.Accepted }},
	{"done", "Jobs that are done.", func(b bookRow) int64 { return b.Done }},
	{"discarded", "Jobs that their handler discarded.", func(b bookRow) int64 { return b.Discarded }},
	{"expired", "Jobs that were too old to begin.", func(b bookRow) int64 { return b.Expired }},
	{"deleted", "Jobs that were deleted by hand.", func(b bookRow) int64 { return b.Deleted }},
	{"trimmed", "Jobs that the dead set had no room for.", func(b bookRow) int64 { return b.Trimmed }},
	{"moved", "Jobs that went to another queue.", func(b bookRow) int64 { return b.Moved }},
	{"fetched", "Jobs that processes took into their keeping.", func(b bookRow) int64 { return b.Fetched }},
	{"retried", "Jobs that went to the retry set, or were snoozed.", func(b bookRow) int64 { return b.Retried }},
	{"buried", "Jobs that went to the dead set.", func(b bookRow) int64 { return b.Buried }},
	{"requeued", "Jobs that were handed back unfinished.", func(b bookRow) int64 { return b.Requeued }},
	{"rescued", "Jobs that were taken from processes that are gone.", func(b bookRow) int64 { return b.Rescued }},
}

func ofBooks(info *statsInfo) (metrics []metric) {
	for _, c := range bookCounters {
		m := metric{name: "ebb_queue_" + c.name + "_total", kind: "counter", help: c.help}
		for _, b := range info.Books {
			m.add(float64(c.of(b)), "queue", b.Queue)
		}
		metrics = append(metrics, m)
	}
	custody := metric{name: "ebb_books_custody_missing", kind: "gauge", help: "Jobs that were fetched and are not accounted for; 0 for good."}
	arrivals := metric{name: "ebb_books_arrivals_missing", kind: "gauge", help: "Jobs that were accepted and are not accounted for; 0 for good. None where others push or pop too."}
	for _, b := range info.Books {
		custody.add(float64(b.CustodyMissing), "queue", b.Queue)
		if b.ArrivalsMissing != nil {
			arrivals.add(float64(*b.ArrivalsMissing), "queue", b.Queue)
		}
	}
	return append(metrics, custody, arrivals)
}

// ofProcesses counts processes rather than naming them: each deploy would leave
// names behind for ever.
func ofProcesses(info *statsInfo) []metric {
	processes := metric{name: "ebb_processes", kind: "gauge", help: "Living processes by language, state and release."}
	type group struct{ lang, state, release string }
	counts := map[group]int{}
	for _, p := range info.alive {
		counts[group{p.Lang, stateOf(p), p.Release}]++
	}
	groups := make([]group, 0, len(counts))
	for g := range counts {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.lang, b.lang), cmp.Compare(a.state, b.state), cmp.Compare(a.release, b.release))
	})
	for _, g := range groups {
		processes.add(float64(counts[g]), "lang", g.lang, "state", g.state, "release", g.release)
	}
	slots := metric{name: "ebb_slots", kind: "gauge", help: "Slots of living processes."}
	slots.add(float64(info.Slots))
	busy := metric{name: "ebb_slots_busy", kind: "gauge", help: "Slots in which a job runs."}
	busy.add(float64(info.Busy))
	return []metric{processes, slots, busy}
}
