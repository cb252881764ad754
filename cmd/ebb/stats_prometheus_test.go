package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb/internal/metrics"
	"github.com/ebbjobs/ebb/store"
)

var (
	metricHead = regexp.MustCompile(`^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$`)
	metricLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$`)
)

// scrape reads the text format as strictly as it is written down: for each name one
// help, one type and then all samples, no sample twice, and a line end after the last.
func scrape(t *testing.T, text string) map[string]float64 {
	t.Helper()
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line has no end")
	}
	samples := map[string]float64{}
	var seen []string // names that had their turn
	name, kind := "", ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if head := metricHead.FindStringSubmatch(line); head != nil {
			switch head[1] {
			case "HELP":
				name, kind = head[2], ""
				if slices.Contains(seen, name) {
					t.Errorf("line %d: %s comes twice", i+1, name)
				}
				seen = append(seen, name)
			case "TYPE":
				kind = head[3]
				if head[2] != name || kind != "gauge" && kind != "counter" {
					t.Errorf("line %d: type of %s after help of %s: %s", i+1, head[2], name, kind)
				}
			}
			continue
		}
		sample := metricLine.FindStringSubmatch(line)
		if sample == nil || sample[1] != name || kind == "" {
			t.Errorf("line %d is no sample of %s: %q", i+1, name, line)
			continue
		}
		if strings.HasSuffix(name, "_total") != (kind == "counter") {
			t.Errorf("%s is a %s", name, kind)
		}
		value, err := strconv.ParseFloat(sample[3], 64)
		if err != nil {
			t.Errorf("line %d: %v", i+1, err)
		}
		key := sample[1] + sample[2]
		if _, twice := samples[key]; twice {
			t.Errorf("line %d: %s comes twice", i+1, key)
		}
		samples[key] = value
	}
	return samples
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	wild := "a\"b\\c\nd\xffe{}"
	info := &statsInfo{
		Processed: 1 << 53, Ready: 7, Busy: 1, Slots: 4,
		Queues: []queueRow{{Name: "images", Waiting: 3, Paused: true}, {Name: wild, OldestWait: 1.5}},
		Books: []bookRow{
			newBookRow(store.Books{Queue: "images", Accepted: 3, Waiting: 3}),
			newBookRow(store.Books{Queue: wild, Fetched: 2, Done: 1, Shared: true}),
		},
		alive: []store.Process{
			{Presence: store.Presence{State: "running", Release: "v1"}, Lang: "go"},
			{Presence: store.Presence{State: "running", Release: "v1", Concurrency: 4, Busy: make([]store.Run, 1)}, Lang: "go"},
			{Presence: store.Presence{State: "quiet"}, Lang: "ruby"},
		},
	}
	var text strings.Builder
	if err := metrics.Write(&text, metrics.Figures{Store: info.figures()}); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, text.String())
	const escaped = `{queue="a\"b\\c\nd` + "\uFFFD" + `e{}"}`
	for key, want := range map[string]float64{
		"ebb_runs_total":                                        1 << 53,
		`ebb_jobs{place="ready"}`:                               7,
		`ebb_queue_paused{queue="images"}`:                      1,
		"ebb_queue_oldest_wait_seconds" + escaped:               1.5,
		"ebb_queue_fetched_total" + escaped:                     2,
		"ebb_books_custody_missing" + escaped:                   1,
		`ebb_books_arrivals_missing{queue="images"}`:            0,
		`ebb_processes{lang="go",release="v1",state="running"}`: 2,
		`ebb_processes{lang="ruby",release="",state="quiet"}`:   1,
		"ebb_slots_busy":                                        1,
	} {
		if value, ok := got[key]; !ok || value != want {
			t.Errorf("%s is %v (there: %v), want %v", key, value, ok, want)
		}
	}
	if _, told := got["ebb_books_arrivals_missing"+escaped]; told {
		t.Error("arrivals of a shared queue are told")
	}
}

func TestPrometheusOfAnEmptyStore(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := metrics.Write(&text, metrics.Figures{Store: new(statsInfo).figures()}); err != nil {
		t.Fatal(err)
	}
	scrape(t, text.String())
}
