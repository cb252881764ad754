package web

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

var metricsReaches = []reach{lastHour, lastDay, lastWeek}

// grouping is what runs are told apart by.
type grouping struct {
	Name string // in addresses
	of   func(*store.Point) string
}

var groupings = []grouping{
	{"kind", func(p *store.Point) string { return p.Kind }},
	{"queue", func(p *store.Point) string { return p.Queue }},
	{"version", func(p *store.Point) string { return p.Release }},
}

func (ui *UI) metricsRoutes() {
	for _, r := range metricsReaches {
		ui.topics["metrics-"+r.Name] = topic{page: "metrics", every: r.every, read: func(ctx context.Context, arg string) (any, error) {
			return ui.readMetrics(ctx, r, arg)
		}}
	}
	ui.get("GET /metrics", ui.metrics)
}

// metricsPage says which topic the page has, and what it is about.
type metricsPage struct{ Topic, Arg string }

func (ui *UI) metrics(w http.ResponseWriter, r *request) error {
	choice := url.Values{}
	for _, name := range []string{"by", "kind", "a", "b"} {
		if v := r.FormValue(name); v != "" {
			choice.Set(name, v)
		}
	}
	ui.render(w, r, page{Title: "Metrics", Tab: "/metrics", Template: "metrics",
		Data: metricsPage{"metrics-" + reachOf(r.FormValue("range"), metricsReaches).Name, choice.Encode()}})
	return nil
}

// metrics is what the page shows.
type metrics struct {
	reach
	choice   url.Values
	Reaches  []reach
	By       string
	ByAll    []grouping
	Kind     string // that the heat map is about
	Kinds    []string
	None     bool
	Pace     *chart
	Failures *chart
	Waits    *chart
	Took     *chart
	Heat     *heat
	Rows     []metricsRow
	More     int // rows that are not shown
	Costs    []cost
	Worst    time.Duration // the highest of Costs
	Stops    int
	Cut      bool // there are more stops than were read
	Compare  *comparison
}

// metricsRow is one kind, queue or version.
type metricsRow struct {
	Name          string
	Ended, Failed int64
	Failing       string
	Waits, Took   [3]bound // half, 95 %, 99 %
	Total         time.Duration
	Link          string
}

const (
	// maxLayers of a chart can be told from one another; what comes after them is drawn
	// together.
	maxLayers = 5
	maxRows   = 50
)

// readMetrics reads what a choice of values, as in an address, is about.
func (ui *UI) readMetrics(ctx context.Context, r reach, arg string) (any, error) {
	choice, err := url.ParseQuery(arg)
	if err != nil {
		return nil, missing("there are no metrics of %q", arg)
	}
	p, err := ui.past(ctx, r, "")
	if err != nil {
		return nil, err
	}
	by := groupings[max(0, slices.IndexFunc(groupings, func(g grouping) bool { return g.Name == choice.Get("by") }))]
	m := &metrics{reach: r, choice: choice, Reaches: metricsReaches, By: by.Name, ByAll: groupings}
	m.None = p.total(nil).Ended == 0
	m.Kinds, _ = p.groups(groupings[0])
	if m.Kind = choice.Get("kind"); !slices.Contains(m.Kinds, m.Kind) && len(m.Kinds) > 0 {
		m.Kind = m.Kinds[0]
	}
	m.Kinds = m.Kinds[:min(len(m.Kinds), maxRows)]
	names, sums := p.groups(by)
	m.draw(p, by, names)
	m.More = max(0, len(names)-maxRows)
	for _, name := range names[:min(len(names), maxRows)] {
		m.Rows = append(m.Rows, rowOf(name, sums[name], by))
	}
	m.Compare = compare(p, choice.Get("a"), choice.Get("b"))
	return m, m.interruptions(ctx, ui.store, p.From)
}

// draw makes the charts.
func (m *metrics) draw(p *past, by grouping, names []string) {
	m.Pace = p.paced("pace", "Ended, by "+by.Name, p.layersBy(by, names, func(r *store.Runs) int64 { return r.Ended })...)
	m.Pace.Query = "sum by (queue) (rate(ebb_queue_done_total[5m]))"
	m.Failures = p.paced("failures", "Failed, by "+by.Name, p.layersBy(by, names, countFailed)...)
	m.Failures.None = "Nothing failed in the last " + p.Words + "."
	m.Failures.Query = "rate(ebb_runs_failed_total[5m]) / rate(ebb_runs_total[5m])"
	m.Waits = p.lengths("waits", "Wait in the queue, at most", waitsOf)
	m.Waits.Query = "max by (queue) (ebb_queue_oldest_wait_seconds)"
	m.Took = p.lengths("took", "Run time, at most", runTimesOf)
	spreads := make([]store.Spread, p.Count)
	for i, sum := range p.sums(func(point *store.Point) bool { return point.Kind == m.Kind }) {
		spreads[i] = sum.Spread
	}
	c := p.chart("heat", "Run times of "+nameOf(m.Kind))
	m.Heat = newHeat(c, spreads)
}

// layersBy are the first of the names that a grouping tells apart, and the rest together.
func (p *past) layersBy(by grouping, names []string, count func(*store.Runs) int64) []layer {
	var layers []layer
	for i, name := range names[:min(len(names), maxLayers)] {
		sums := p.sums(func(point *store.Point) bool { return by.of(point) == name })
		layers = append(layers, layerOf(shortened(nameOf(name), 24), "c-"+countText(float64(i)), sums, count))
	}
	if len(names) > maxLayers {
		first := names[:maxLayers]
		sums := p.sums(func(point *store.Point) bool { return !slices.Contains(first, by.of(point)) })
		layers = append(layers, layerOf(prose.Plural(len(names)-maxLayers, "other"), "c-rest", sums, count))
	}
	return layers
}

// nameOf is a name for people, of which some are empty: who counted did not know them.
func nameOf(name string) string { return prose.Plain(shortened(cmp.Or(name, "(not known)"), 60)) }

func rowOf(name string, sum *store.Runs, by grouping) metricsRow {
	row := metricsRow{Name: nameOf(name), Ended: sum.Ended, Failed: sum.Failed, Failing: percentText(percentage(sum.Failed, sum.Ended)), Total: sum.Took}
	for i, q := range []float64{0.5, 0.95, 0.99} {
		row.Waits[i], row.Took[i] = quantile(&sum.Waits, q), quantile(&sum.Spread, q)
	}
	switch {
	case name == "" || name == store.Others:
	case by.Name == "kind":
		row.Link = "/jobs?" + url.Values{"q": {"kind:" + quoted(name)}}.Encode()
	case by.Name == "queue":
		row.Link = "/queues/" + url.PathEscape(name)
	}
	return row
}

// quoted is a value as a query of jobs takes it to mean itself.
func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// cost is the work of one kind that was done again because of stops.
type cost struct {
	Kind   string
	Wasted time.Duration
	Jobs   int
}

// interruptions adds up what the stops since then cost, the dearest kind first: it gains
// most from a checkpoint.
func (m *metrics) interruptions(ctx context.Context, st store.Inspector, since time.Time) error {
	at := map[string]int{}
	for r, err := range st.Stops(ctx) {
		if err != nil {
			return err
		}
		if r.Ended.Before(since) {
			break
		}
		if m.Stops++; m.Stops > fleet.MaxStops {
			m.Stops, m.Cut = fleet.MaxStops, true
			break
		}
		s := fleet.NewStop(r)
		for _, f := range s.Jobs() {
			if f.Wasted <= 0 {
				continue
			}
			i, known := at[f.Kind]
			if !known {
				i = len(m.Costs)
				at[f.Kind] = i
				m.Costs = append(m.Costs, cost{Kind: nameOf(f.Kind)})
			}
			m.Costs[i].Jobs++
			m.Costs[i].Wasted += f.Wasted
		}
	}
	slices.SortStableFunc(m.Costs, func(a, b cost) int { return cmp.Compare(b.Wasted, a.Wasted) })
	m.Costs = m.Costs[:min(len(m.Costs), maxRows)]
	if len(m.Costs) > 0 {
		m.Worst = m.Costs[0].Wasted
	}
	return nil
}

// Share is how wide the bar of a cost is.
func (m *metrics) Share(c cost) string { return share(c.Wasted, m.Worst) }

// comparison is two versions side by side.
type comparison struct {
	All           []string // versions, those that ended the most first
	First, Second string
	A, B          metricsRow
}

// compare returns the rows of two versions; without a choice, of the two that ended the
// most. nil: there are no two.
func compare(p *past, a, b string) *comparison {
	by := groupings[2]
	names, sums := p.groups(by)
	all := slices.DeleteFunc(names, func(name string) bool { return name == "" })
	if len(all) < 2 {
		return nil
	}
	if !slices.Contains(all, a) {
		a = all[0]
	}
	if !slices.Contains(all, b) || b == a {
		b = all[slices.IndexFunc(all, func(name string) bool { return name != a })]
	}
	return &comparison{all[:min(len(all), maxRows)], a, b, rowOf(a, sums[a], by), rowOf(b, sums[b], by)}
}

// Plain is a name as it is shown.
func (*metrics) Plain(name string) string { return nameOf(name) }

// Choice is the address of this page with one value changed.
func (m *metrics) Choice(name, value string) string {
	values := maps.Clone(m.choice)
	values.Set("range", m.Name)
	values.Set(name, value)
	return "/metrics?" + values.Encode()
}
