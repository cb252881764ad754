package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

const (
	// jobsPage is how many rows a page has.
	jobsPage = 50
	// searchFor is how long a page is searched for before it shows what there is by then.
	// Script, or a person, goes on from there.
	searchFor = 100 * time.Millisecond
)

func (ui *UI) jobsRoutes() {
	ui.get("GET /jobs", ui.jobs)
	ui.get("GET /jobs/search", ui.jobsSearch)
	ui.get("GET /jobs/export", ui.jobsExport)
	ui.topics["states"] = topic{page: "jobs", read: ui.readStates}
	ui.topics["failures"] = topic{page: "jobs", every: 10 * time.Second, read: ui.readFailures}
}

// jobsView is what the list of jobs shows.
type jobsView struct {
	jobsQuery
	Rows []jobRow
	// Looked is how many jobs were looked at for them, of about Of; 0: nobody knows.
	Looked, Of int64
	Next       string // where the list goes on; empty: this is its end
	Full       bool   // it goes on because the page is full, not because time was up
	Begins     bool   // nothing is before it
	First      int64  // the number of its first row where nothing is left out
	Pages      bool   // rows can be jumped to by their numbers
	Wrong      *wrongQuery
	Kinds      []string // for suggestions
	Errors     []string
	Queues     []string
}

// jobsQuery is what a list of jobs is asked for.
type jobsQuery struct {
	State  string // empty: any but done
	Text   string
	Newest bool

	query *query.Query
	after query.Position
}

// wrongQuery is a query that cannot be understood, with the term that is to blame.
type wrongQuery struct{ Before, Term, After, Reason, Try string }

var pastedJID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// readJobsQuery reads the query of an address. What is wrong with the text is for the
// page to show.
func (r *request) readJobsQuery(values url.Values) (jobsQuery, *wrongQuery, error) {
	q := jobsQuery{State: values.Get("state"), Text: strings.TrimSpace(values.Get("q")), Newest: values.Get("order") == "newest"}
	parsed, err := query.Parse(q.Text, r.Now)
	if syntax, ok := errors.AsType[*query.SyntaxError](err); ok {
		end := syntax.Offset + syntax.Length
		parsed = &query.Query{}
		q.query = parsed
		return q, &wrongQuery{q.Text[:syntax.Offset], q.Text[syntax.Offset:end], q.Text[end:], syntax.Reason, syntax.Try}, nil
	}
	if !r.Args() || r.ui.opt.Redact != nil {
		parsed = parsed.SeenAs(r.seen)
	}
	q.query = parsed
	if q.State != "" && q.State != "done" {
		place, ok := query.PlaceOf(q.State)
		if !ok {
			unknown := query.UnknownState(q.State)
			return q, nil, fault(http.StatusNotFound, unknown, "%s", unknown.Try)
		}
		q.State = query.StateOf(place)
		q.query = parsed.And(query.InPlaces(place))
	}
	if q.after, err = query.ParsePosition(values.Get("after")); err != nil {
		return q, nil, fault(http.StatusNotFound, err, "begin at the first page again")
	}
	return q, nil, nil
}

// All reports whether the list leaves nothing of its state out.
func (q *jobsQuery) All() bool { return q.Text == "" }

// address is the query of an address without where in the list it is.
func (q *jobsQuery) address() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"state": q.State, "q": q.Text} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Newest {
		values.Set("order", "newest")
	}
	return values
}

// Address is that, for the topics of the page.
func (q *jobsQuery) Address() string { return q.address().Encode() }

// jobs is the list of jobs, of all states or of one.
func (ui *UI) jobs(w http.ResponseWriter, r *request) error {
	if jid := strings.TrimSpace(r.FormValue("q")); pastedJID.MatchString(jid) {
		http.Redirect(w, r.Request, r.Path("/jobs/"+jid), http.StatusSeeOther)
		return nil
	}
	if group := r.FormValue("group"); group != "" { // as what needs somebody links to it
		http.Redirect(w, r.Request, r.Path("/jobs", "state", r.FormValue("state"), "q", query.InGroup(group).String()), http.StatusSeeOther)
		return nil
	}
	q, wrong, err := r.readJobsQuery(r.URL.Query())
	if err != nil {
		return err
	}
	v := &jobsView{jobsQuery: q, Wrong: wrong}
	switch {
	case wrong != nil:
	case q.State == "done":
		err = ui.listEnded(r, v)
	default:
		err = ui.list(r, v)
	}
	if err != nil {
		return err
	}
	if err := ui.suggest(r.Context(), v); err != nil {
		return err
	}
	ui.render(w, r, page{Title: "Jobs", Tab: "/jobs", Template: "jobs", Data: v})
	return nil
}

// list reads a page of a list, or as much of it as is found in time.
func (ui *UI) list(r *request, v *jobsView) error {
	if row, err := strconv.ParseInt(r.FormValue("row"), 10, 64); err == nil && v.All() {
		if v.after, err = v.query.Seek(r.Context(), ui.atHand, max(0, row-1)); err != nil {
			return err
		}
	}
	v.Begins, v.First, v.Pages = v.after.IsZero(), v.after.Seen+1, v.All()
	ctx, end := context.WithCancel(r.Context())
	defer end()
	at, began, cut := v.after, time.Now(), false
	search := query.Search{Newest: v.Newest}
	if !v.All() { // a page of all is there at once, and its count comes below
		search.Looked = func(_, of int64) {
			if v.Of = of; time.Since(began) > searchFor {
				end() // however slow the store is, each page comes some way
			}
		}
	}
	for e, err := range v.query.Scan(ctx, ui.atHand, search, &at) {
		if cut = ctx.Err() != nil && r.Context().Err() == nil; cut {
			break // time is up
		}
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, r.jobRow(&e))
		if v.Full = len(v.Rows) == jobsPage; v.Full {
			break
		}
	}
	v.Looked = at.Seen
	if v.Full || cut {
		v.Next = at.String()
	}
	if v.All() {
		n, _, err := v.query.Count(r.Context(), ui.atHand)
		if v.Of = max(n, at.Seen); v.Full && at.Seen >= v.Of {
			v.Next, v.Full = "", false
		}
		return err
	}
	return nil
}

// suggest gathers names that a query may ask for.
func (ui *UI) suggest(ctx context.Context, v *jobsView) error {
	_, _, data, err := ui.hub.read(ctx, "failures:"+cmp.Or(v.State, "retry"), hasty)
	if err != nil {
		return err
	}
	seen := data.(*failures)
	v.Kinds = slices.Clone(seen.Kinds)
	for _, row := range v.Rows {
		if len(v.Kinds) < suggestions && row.Kind != "" && !slices.Contains(v.Kinds, row.Kind) {
			v.Kinds = append(v.Kinds, row.Kind)
		}
	}
	for _, g := range seen.Groups {
		if len(v.Errors) < suggestions && !slices.Contains(v.Errors, g.Class) {
			v.Errors = append(v.Errors, g.Class)
		}
	}
	v.Queues = seen.Queues
	return nil
}

// suggestions is how many names of a sort are suggested.
const suggestions = 20

// Showing says which rows these are.
func (v *jobsView) Showing() string {
	if !v.Pages || len(v.Rows) == 0 {
		return ""
	}
	return prose.Count(v.First) + "–" + prose.Count(v.First+int64(len(v.Rows))-1) + " of " + prose.Count(v.Of)
}

// Percent is how much was searched.
func (v *jobsView) Percent() int64 { return 100 * v.Looked / max(v.Of, v.Looked, 1) }

// Empty says in a sentence that there is nothing to see.
func (v *jobsView) Empty() string {
	switch {
	case v.Text != "":
		return "No job matches."
	case !v.Begins:
		return "Nothing comes after that."
	}
	return map[string]string{
		"":          "There are no jobs. What is enqueued shows up here.",
		"ready":     "Nothing waits: every job that is due has been taken.",
		"running":   "Nothing runs at the moment.",
		"scheduled": "Nothing is scheduled for later.",
		"retry":     "Nothing waits for another try: no job has failed lately.",
		"dead":      "No job is dead: none ran out of tries.",
		"done":      "No job has ended since processes began to tell of it.",
	}[v.State]
}

// states is how many jobs there are in each.
type states struct {
	jobsQuery
	List []stateCount
}

type stateCount struct {
	Name, Title string
	Count       int64
	Counted     bool
	Address     string // of the list with the same query in that state
}

func (ui *UI) readStates(ctx context.Context, arg string) (any, error) {
	values, err := url.ParseQuery(arg)
	if err != nil {
		return nil, err
	}
	q := jobsQuery{State: values.Get("state"), Text: values.Get("q"), Newest: values.Get("order") == "newest"}
	stats, err := ui.recent.Stats(ctx)
	if err != nil {
		return nil, err
	}
	s := &states{jobsQuery: q}
	add := func(name, title string, n int64, counted bool) {
		there := q
		there.State = name
		s.List = append(s.List, stateCount{name, title, n, counted, there.Address()})
	}
	add("", "all", stats.Ready+stats.Held+stats.Scheduled+stats.Retrying+stats.Dead, true)
	add("ready", "waiting", stats.Ready, true)
	add("running", "running", stats.Held, true)
	add("scheduled", "scheduled", stats.Scheduled, true)
	add("retry", "retry", stats.Retrying, true)
	add("dead", "dead", stats.Dead, true)
	add("done", "done", 0, false)
	return s, nil
}

// failures are what jobs of a state have failed with, as far as a sample tells.
type failures struct {
	State  string
	Groups []failure
	Sample int // jobs that were looked at
	Whole  bool
	Kinds  []string
	Queues []string
}

type failure struct {
	fleet.Group
	Query string // finds its jobs
	Width int    // of its bar, in hundredths of the longest
}

// sampled is how many jobs failures are grouped of.
const sampled = 1000

func (ui *UI) readFailures(ctx context.Context, state string) (any, error) {
	f := &failures{State: state}
	queues, err := ui.recent.Queues(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues[:min(len(queues), suggestions)] {
		f.Queues = append(f.Queues, q.Name)
	}
	if state != "retry" && state != "dead" {
		return f, nil
	}
	marks, err := ui.store.Marks(ctx, time.Now().Add(-store.MarkAge))
	if err != nil {
		return nil, err
	}
	place, _ := query.PlaceOf(state)
	groups, err := fleet.Groups(func(yield func(store.Entry, error) bool) {
		for e, err := range ui.store.Jobs(ctx, store.Query{Place: place, Newest: place == store.Dead, Limit: sampled}) {
			f.Sample++
			if !yield(e, err) {
				return
			}
		}
	}, marks)
	if err != nil {
		return nil, err
	}
	f.Whole = f.Sample < sampled
	const most = 8
	for i, g := range groups {
		if !slices.Contains(f.Kinds, g.Kind) && len(f.Kinds) < suggestions {
			f.Kinds = append(f.Kinds, g.Kind)
		}
		if i < most {
			f.Groups = append(f.Groups, failure{g, groupQuery(&g), 100 * g.Count / groups[0].Count})
		}
	}
	return f, nil
}

// groupQuery finds failures like these: by their class, and what their messages begin
// with.
func groupQuery(g *fleet.Group) string {
	text := g.Class
	begins, _, _ := strings.Cut(g.Message, "#")
	begins, _, _ = strings.Cut(begins, "“")
	if begins = strings.TrimSpace(begins); begins != "" {
		text += ": " + begins
	}
	if strings.ContainsAny(text, " \t,\"\\*") {
		text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	return "error:" + text
}
