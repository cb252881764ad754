package web

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

// yard is pages of a store with jobs in it.
type yard struct {
	*testing.T
	*UI
	st *memstore.Store
}

func newYard(t *testing.T, opt Options) *yard {
	t.Helper()
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { st.Close() })
	ui, err := New(ebb.NewClient(st), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ui.Close() })
	return &yard{t, ui, st}
}

func (y *yard) must(err error) {
	y.Helper()
	if err != nil {
		y.Fatal(err)
	}
}

// jid is that of the nth job.
func jid(n int) string { return fmt.Sprintf("0199aa00bb00cc00%08d", n) }

// payload is a job that has failed, with one argument.
func payload(n int, kind, args string) []byte {
	return fmt.Appendf(nil, `{"class":%q,"jid":%q,"queue":"default","args":%s,"retry":25,"created_at":1790000000.5,"enqueued_at":1790000001.5,"retry_count":3,`+
		`"failed_at":1790000002.5,"retried_at":1790000003.5,"error_class":"CardError","error_message":"declined: order %d","batch_of":"ruby"}`, kind, jid(n), args, n)
}

// retrying puts jobs into the retry set, due an hour from now and a second apart.
func (y *yard) retrying(payloads ...[]byte) {
	y.Helper()
	y.put(store.Retrying, payloads...)
}

func (y *yard) put(to store.Place, payloads ...[]byte) {
	y.Helper()
	ctx := y.Context()
	for i, p := range payloads {
		id, _ := wire.JIDOf(p)
		_, err := y.st.Push(ctx, store.Call{}, store.Item{JID: id, Queue: "default", Kind: "k", Payload: p})
		y.must(err)
		if to == store.Ready {
			continue
		}
		for e, err := range y.st.Jobs(ctx, store.Query{Place: store.Ready, Queue: "default"}) {
			y.must(err)
			if string(e.Payload) == string(p) {
				_, err := y.st.Move(ctx, store.Undoable{}, to, store.Pick{Key: e.Key, At: time.Now().Add(time.Hour + time.Duration(i)*time.Second)})
				y.must(err)
				break
			}
		}
	}
}

// all is every entry of a place, as text.
func (y *yard) all(place store.Place) (jobs []string) {
	y.Helper()
	for e, err := range y.st.Jobs(context.WithoutCancel(y.Context()), store.Query{Place: place, Queue: map[bool]string{true: "default"}[place == store.Ready]}) {
		y.must(err)
		jobs = append(jobs, fmt.Sprintf("%d %s", e.At.UnixMicro(), e.Payload))
	}
	return jobs
}

func (y *yard) get(target string) *httptest.ResponseRecorder {
	return ask(y, "GET", target)
}

// post sends a form as a page of ours does.
func (y *yard) post(target string, form url.Values, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(form.Encode()))
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "localhost:9090"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	y.ServeHTTP(w, r)
	return w
}

// page fails the test unless the answer is of that status, and returns it.
func (y *yard) page(w *httptest.ResponseRecorder, status int) string {
	y.Helper()
	if w.Code != status {
		y.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	return w.Body.String()
}

func (y *yard) has(text string, want ...string) {
	y.Helper()
	for _, s := range want {
		if !strings.Contains(text, s) {
			y.Errorf("no %q in\n%s", s, text)
		}
	}
}

func (y *yard) hasNot(text string, unwanted ...string) {
	y.Helper()
	for _, s := range unwanted {
		if strings.Contains(text, s) {
			y.Errorf("%q in\n%s", s, text)
		}
	}
}

func many(n int) (payloads [][]byte) {
	for i := range n {
		payloads = append(payloads, payload(i, "InvoiceJob", fmt.Sprintf("[%d]", i)))
	}
	return payloads
}

func TestJobsOfNothing(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	for state, want := range map[string]string{
		"": "There are no jobs", "ready": "Nothing waits", "running": "Nothing runs", "scheduled": "Nothing is scheduled",
		"retry": "no job has failed lately", "dead": "No job is dead", "done": "No job has ended",
	} {
		y.has(y.page(y.get("/jobs?state="+state), 200), want)
	}
	y.has(y.page(y.get("/jobs?q=nothing"), 200), "No job matches")
	y.page(y.get("/jobs?state=nowhere"), 404)
	y.page(y.get("/jobs?after=nowhere"), 404)
}

var rowJID = regexp.MustCompile(`name="jid" value="([0-9a-f]{24})"`)

func rowsOf(text string) (jids []string) {
	for _, m := range rowJID.FindAllStringSubmatch(text, -1) {
		jids = append(jids, m[1])
	}
	return jids
}

var nextLink = regexp.MustCompile(`rel="next" href="([^"]+)"`)

func TestJobsPages(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(many(120)...)
	var want []string
	for i := range 120 {
		want = append(want, jid(i))
	}
	for _, order := range []string{"", "newest"} {
		var got []string
		for target := "/jobs?state=retry&order=" + order; target != ""; {
			text := y.page(y.get(target), 200)
			if len(text) > 60<<10 {
				t.Errorf("a page of %d bytes", len(text))
			}
			got = append(got, rowsOf(text)...)
			m := nextLink.FindStringSubmatch(text)
			target = ""
			if m != nil {
				target = html.UnescapeString(m[1])
			}
		}
		if order == "newest" {
			for i := range got[:len(got)/2] {
				got[i], got[len(got)-1-i] = got[len(got)-1-i], got[i]
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %d rows: %v", order, len(got), got)
		}
	}
	text := y.page(y.get("/jobs?state=retry&row=101"), 200)
	y.has(text, "101–120 of 120")
	if got := rowsOf(text); len(got) != 20 || got[0] != jid(100) {
		t.Errorf("jump: %v", got)
	}
}

func TestJobsQuery(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(payload(1, "InvoiceJob", "[7771]"), payload(2, "ReportJob", "[7772]"))
	text := y.page(y.get("/jobs?state=retry&q=kind:ReportJob"), 200)
	if got := rowsOf(text); len(got) != 1 || got[0] != jid(2) {
		t.Errorf("got %v", got)
	}
	y.has(text, "Searched 2: 1 found")
	text = y.page(y.get("/jobs?q="+url.QueryEscape("kind:A kund:B tag:c")), 200)
	y.has(text, "<mark>kund:B</mark>", "did you mean kind?", `aria-invalid="true"`)
	w := y.get("/jobs?q=" + jid(2))
	if y.page(w, 303); w.Header().Get("Location") != "/jobs/"+jid(2) {
		t.Errorf("a pasted jid leads to %s", w.Header().Get("Location"))
	}
	text = y.page(y.get("/jobs?state=retry"), 200)
	y.has(text, "CardError", "declined: order #", `value="kind:InvoiceJob"`, `value="error:CardError"`, "2 of 2")
	// The group's link finds its jobs.
	link := regexp.MustCompile(`class="chip" href="([^"]+)"`).FindStringSubmatch(text)
	if got := rowsOf(y.page(y.get(html.UnescapeString(link[1])), 200)); len(got) != 2 {
		t.Errorf("the group has %v, by %s", got, link[1])
	}
}

func TestJobsSearchGoesOn(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{})
	y.retrying(many(70)...)
	w := y.get("/jobs/search?state=retry&q=kind:InvoiceJob&rows=10")
	var rows int
	var last found
	for line := range strings.Lines(y.page(w, 200)) {
		last = found{}
		y.must(json.Unmarshal([]byte(line), &last))
		rows += len(rowsOf(last.Rows))
	}
	if rows != 40 || last.Found != 70 || !last.End || last.Looked != 70 || last.Next == "" {
		t.Errorf("%d rows, %+v", rows, last)
	}
	if got := rowsOf(y.page(y.get("/jobs?state=retry&q=kind:InvoiceJob&after="+last.Next), 200)); len(got) != 30 || got[0] != jid(40) {
		t.Errorf("behind the rows come %v", got)
	}
}

// TestHostilePayloads shows what others may write, as text.
func TestHostilePayloads(t *testing.T) {
	t.Parallel()
	digits := "1234567890123456789012345678901234567890"
	long := `["` + strings.Repeat("x", 4<<20) + `"]`
	y := newYard(t, Options{})
	y.retrying(
		payload(1, "<script>alert(1)</script>", `["<script>alert(2)</script>","</script><img src=x onerror=alert(3)>"]`),
		payload(2, "BigJob", "["+digits+",1.10]"),
		payload(3, "LongJob", long),
		payload(4, "BytesJob", "[\"a\xff\xfeb\"]"),
		payload(5, "TurnedJob", "[\"\u202egnp.exe\"]"),
		[]byte("not a job at all \x00"),
	)
	list := y.page(y.get("/jobs?state=retry"), 200)
	y.hasNot(list, "<script>alert", "<img src=x")
	y.has(list, "&lt;script&gt;alert(1)", digits, "1.10", "\uFFFD", "cannot be read")
	if len(list) > 60<<10 {
		t.Errorf("the list has %d bytes", len(list))
	}
	for n, want := range map[int]string{1: "&lt;script&gt;alert(2)", 2: digits + ",1.10", 3: "4.0 MiB", 4: "a\uFFFDb", 5: "<pre"} {
		text := y.page(y.get("/jobs/"+jid(n)), 200)
		y.hasNot(text, "<script>alert", "<img src=x")
		if y.has(text, want); len(text) > 100<<10 {
			t.Errorf("job %d: the page has %d bytes", n, len(text))
		}
	}
	text := y.page(y.get("/jobs/"+jid(3)), 200)
	file := regexp.MustCompile(`href="([^"]+payload[^"]+)"`).FindStringSubmatch(text)
	if got := y.page(y.get(html.UnescapeString(file[1])), 200); got != string(payload(3, "LongJob", long)) {
		t.Error("the file is not the payload to the byte")
	}
}

func TestHiddenArguments(t *testing.T) {
	t.Parallel()
	viewer := func(User) Role { return Viewer }
	own := []byte(strings.Replace(string(payload(1, "OwnJob", `["sesame"]`)), `"batch_of"`, `"ebb":{"hide":true},"batch_of"`, 1))
	secret := payload(2, "KeyJob", `[{"user":"ada","password":{"is":"sesame"},"n":12345678901234567890123}]`)
	for name, c := range map[string]struct {
		opt  Options
		n    int
		hide []string
		show []string
	}{
		"by the job":     {Options{}, 1, []string{"sesame"}, []string{"hidden"}},
		"by the role":    {Options{Role: viewer, HideArgs: true}, 2, []string{"sesame", "ada"}, []string{"hidden"}},
		"by the options": {Options{Redact: KeysMatching("password")}, 2, []string{"sesame"}, []string{"ada", "•••", "12345678901234567890123"}},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, c.opt)
			y.retrying(own, secret)
			for _, target := range []string{"/jobs?state=retry&q=jid:" + jid(c.n)[10:], "/jobs/" + jid(c.n)} {
				text := y.page(y.get(target), 200)
				y.hasNot(text, c.hide...)
				y.has(text, c.show...)
			}
			if w := y.get("/jobs/export?q=jid:" + jid(c.n)); w.Code == 200 {
				y.hasNot(w.Body.String(), c.hide...)
			} else if c.opt.Role == nil {
				t.Errorf("export: %d", w.Code)
			}
		})
	}
}

// Where nothing may be changed, no page has a form that would.
func TestJobsReadOnly(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{ReadOnly: true})
	y.retrying(payload(1, "Mail", "[]"))
	for _, at := range []string{"/jobs?state=retry", "/jobs?state=retry&q=Mail", "/jobs/" + jid(1)} {
		y.hasNot(y.page(y.get(at), 200), `method="post"`)
	}
}
