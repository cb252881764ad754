package web

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// everyChange are the addresses that change something and who may ask for them, by what
// their route begins with in the source.
var everyChange = map[string]map[string]Role{
	"/bulk":                 {"/bulk": Operator},
	"/bulk/{id}/run":        {"/bulk/1/run": Operator},
	"/bulk/{id}/stop":       {"/bulk/1/stop": Operator},
	"/bulk/{id}/resume":     {"/bulk/1/resume": Operator},
	"/audit/{id}/undo":      {"/audit/1/undo": Operator},
	"/jobs/{jid}/edit":      {"/jobs/1/edit": Admin},
	"/jobs/{jid}/{verb}":    {"/jobs/1/retry": Operator, "/jobs/1/reschedule": Operator, "/jobs/1/cancel": Operator, "/jobs/1/delete": Admin, "/jobs/1/bury": Admin},
	"/processes/{id}/":      {"/processes/1/quiet": Operator, "/processes/1/resume": Operator, "/processes/1/stop": Operator, "/processes/1/dump": Admin},
	"/processes/":           {"/processes/quiet": Operator, "/processes/resume": Operator, "/processes/stop": Operator},
	"/queues/{name}/pause":  {"/queues/default/pause": Operator},
	"/queues/{name}/resume": {"/queues/default/resume": Operator},
}

// TestEveryChange asks for each change as somebody who may do a little less, from
// another site, and where nothing may be changed.
func TestEveryChange(t *testing.T) {
	t.Parallel()
	role := Admin
	ui, readOnly := open(t, Options{Role: func(User) Role { return role }}), open(t, Options{ReadOnly: true})
	for _, targets := range everyChange {
		for target, need := range targets {
			role = need - 1
			if w := ask(ui, "POST", target); w.Code != http.StatusForbidden {
				t.Errorf("%s as %v: %d", target, role, w.Code)
			}
			role = need
			if w := ask(ui, "POST", target); w.Code == http.StatusForbidden || w.Code == http.StatusMethodNotAllowed {
				t.Errorf("%s as %v: %d", target, role, w.Code)
			}
			if w := ask(ui, "POST", target, with("Sec-Fetch-Site", "cross-site"), with("Origin", "https://evil.example")); w.Code != http.StatusForbidden {
				t.Errorf("%s from another site: %d", target, w.Code)
			}
			if w := ask(readOnly, "POST", target); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s, read-only: %d", target, w.Code)
			}
			if w := ask(ui, "GET", target); w.Code == http.StatusOK && !strings.HasSuffix(target, "/stop") {
				t.Errorf("%s is a page, too", target)
			}
		}
	}
}

// TestEveryChangeIsKnown finds changes that [everyChange] does not have, and routes that
// pass by those who guard them.
func TestEveryChangeIsKnown(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	route, known := regexp.MustCompile(`\.(?:post|mux\.Handle(?:Func)?)\("([^"]+)"`), []string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range route.FindAllStringSubmatch(string(text), -1) {
			switch {
			case everyChange[m[1]] != nil:
				known = append(known, m[1])
			case m[1] != "POST " && m[1] != "GET /assets/{hash}/{name}":
				t.Errorf("%s has %q, which nobody tries", file, m[1])
			}
		}
	}
	if slices.Sort(known); len(slices.Compact(known)) != len(everyChange) {
		t.Errorf("of %d changes the source has %q", len(everyChange), known)
	}
}

const hiddenJob = `{"class":"KeyJob","jid":"` + "0199aa00bb00cc0000000001" + `","queue":"default","args":[{"user":"ada","password":{"is":"sesame"}}],"retry":25,"ours":{"token":"sesame"},"created_at":1790000000.5}`

// TestNobodySearchesWhatIsHidden asks which jobs have, or do not have, what is hidden
// from who asks: the answer must not tell.
func TestNobodySearchesWhatIsHidden(t *testing.T) {
	t.Parallel()
	redact := Options{Redact: KeysMatching("password", "token")}
	for name, c := range map[string]struct {
		opt   Options
		blind bool // to all arguments
	}{
		"by the role": {Options{Role: viewer, HideArgs: true}, true}, "by the options": {redact, false},
		"by both": {Options{Role: viewer, HideArgs: true, Redact: redact.Redact}, true}, "not": {Options{Role: operator, HideArgs: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, c.opt)
			y.retrying([]byte(hiddenJob), payload(2, "OtherJob", `[{"user":"bob"}]`), []byte("not a job: sesame"))
			for q, want := range map[string]struct{ all, redacted, blind int }{
				"sesame":                     {2, 0, 0},
				"args.0.password.is=sesame":  {1, 0, 0},
				"-args.0.password.is=sesame": {1, 2, 2},
				"-sesame":                    {1, 3, 3},
				"kind:KeyJob ada":            {1, 1, 0},
				"-ada kind:KeyJob":           {0, 0, 1},
				"args.user=bob":              {1, 1, 0},
				"kind:KeyJob,OtherJob":       {2, 2, 2},
				"kind:OtherJob declined":     {1, 1, 1},
			} {
				n := want.all
				if c.blind {
					n = want.blind
				} else if c.opt.Redact != nil {
					n = want.redacted
				}
				target := "?state=retry&q=" + url.QueryEscape(q)
				if got := strings.Count(y.page(y.get("/jobs"+target), 200), `<tr data-key`); got != n {
					t.Errorf("%s: a list of %d, want %d", q, got, n)
				}
				lines := strings.Split(strings.TrimSpace(y.page(y.get("/jobs/search"+target), 200)), "\n")
				var last found
				y.must(json.Unmarshal([]byte(lines[len(lines)-1]), &last))
				if last.Found != int64(n) {
					t.Errorf("%s: %d found, want %d", q, last.Found, n)
				}
			}
			if c.opt.Redact != nil && c.opt.Role == nil {
				y.page(y.post("/bulk", url.Values{"verb": {"retry"}, "state": {"retry"}, "q": {"args.0.password.is=sesame"}, "which": {"all"}}), http.StatusConflict)
			}
		})
	}
}

// TestPayloadWithoutWhatIsHidden looks at all of a payload as a page, a file and an
// export have it.
func TestPayloadWithoutWhatIsHidden(t *testing.T) {
	t.Parallel()
	own := strings.Replace(hiddenJob, `"ours":{"token":"sesame"}`, `"ebb":{"hide":true,"cp":{"last":"sesame"}}`, 1)
	for name, c := range map[string]struct {
		opt  Options
		job  string
		want string // what the payload ends with
	}{
		"by the job":      {Options{}, own, `"args":"•••","retry":25,"ebb":{"hide":true,"cp":"•••"},"created_at":1790000000.5}`},
		"by the options":  {Options{Redact: KeysMatching("password", "token")}, hiddenJob, `"password":"•••"}],"retry":25,"ours":{"token":"•••"},"created_at":1790000000.5}`},
		"and gets longer": {Options{Redact: KeysMatching("retry")}, strings.ReplaceAll(hiddenJob, "sesame", ""), `"retry":"•••","ours":{"token":""},"created_at":1790000000.5}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, c.opt)
			y.retrying([]byte(c.job))
			text := y.page(y.get("/jobs/"+jid(1)), 200)
			y.hasNot(text, "sesame")
			y.has(html.UnescapeString(text), c.want)
			file := regexp.MustCompile(`href="([^"]+/payload[^"]+)"`).FindStringSubmatch(text)
			for _, target := range []string{html.UnescapeString(file[1]), "/jobs/export?state=retry"} {
				text := y.page(y.get(target), 200)
				y.hasNot(text, "sesame")
				if y.has(text, c.want); !json.Valid([]byte(text)) {
					t.Errorf("%s is no JSON: %s", target, text)
				}
			}
		})
	}
	y := newYard(t, Options{Role: viewer, HideArgs: true})
	y.retrying([]byte(hiddenJob))
	for e, err := range y.st.Jobs(t.Context(), store.Query{Place: store.Retrying}) {
		y.must(err)
		y.page(y.get("/jobs/"+jid(1)+"/payload?version="+versionOf(&e)), 403)
	}
	y.page(y.get("/jobs/export?state=retry"), 403)
}

// TestNobodyEditsWhatIsHidden asks for the page on which arguments are edited, which
// would show them, and sends others blindly.
func TestNobodyEditsWhatIsHidden(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{Redact: KeysMatching("password")})
	y.retrying([]byte(hiddenJob))
	before := y.all(store.Retrying)
	version := versionIn(y, jid(1))
	y.hasNot(y.page(y.get("/jobs/"+jid(1)+"/edit?version="+version), 403), "sesame", "ada")
	y.page(y.post("/jobs/"+jid(1)+"/edit", url.Values{"version": {version}, "args": {"[]"}, "apply": {"1"}}), 403)
	if !slices.Equal(before, y.all(store.Retrying)) {
		t.Error("it was changed")
	}
}

// TestAuditWithoutWhatIsHidden deletes a job that hides its arguments: what undo keeps
// of it is for undo alone.
func TestAuditWithoutWhatIsHidden(t *testing.T) {
	t.Parallel()
	y := newYard(t, Options{Redact: KeysMatching("password", "token")})
	y.retrying([]byte(hiddenJob), []byte(strings.ReplaceAll(hiddenJob, jid(1), jid(2))))
	y.page(y.post("/jobs/"+jid(1)+"/delete", url.Values{"version": {versionIn(y, jid(1))}}), 303)
	at := y.freeze(url.Values{"verb": {"delete"}, "which": {"all"}, "state": {"retry"}})
	y.page(y.post(at+"/run", nil), 303)
	y.hasNot(y.over(at), "sesame")
	for _, target := range []string{"/audit", "/audit.json", "/piece?page=/&topic=bulk:" + strings.TrimPrefix(at, "/bulk/")} {
		text := y.page(y.get(target), 200)
		y.hasNot(text, "sesame")
		y.has(text, "delete")
	}
}

// TestTopicsByRole has people of two roles watch one job: none is sent what was drawn
// for the other.
func TestTopicsByRole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		roles := map[string]Role{"vera": Viewer, "otto": Operator}
		y := newYard(t, Options{HideArgs: true, Role: func(u User) Role { return roles[u.Name] },
			Auth: Func(func(r *http.Request) (User, error) { return User{Name: r.Header.Get("Who")}, nil })})
		y.retrying([]byte(hiddenJob))
		subject := url.Values{"topic": {"job:" + jid(1)}, "page": {"/jobs/" + jid(1)}, "version": {""}}.Encode()
		for _, order := range [][]string{{"otto", "vera"}, {"vera", "otto"}} {
			screens := map[string]*screen{}
			for _, who := range order {
				seen := &screen{header: http.Header{}}
				screens[who] = seen
				r := httptest.NewRequest("GET", "/live?"+subject, nil).WithContext(t.Context())
				r.Header.Set("Who", who)
				go y.ServeHTTP(seen, r)
				time.Sleep(time.Second)
				piece := ask(y, "GET", "/piece?"+subject, with("Who", who))
				if sees := strings.Contains(piece.Body.String(), "sesame"); piece.Code != 200 || sees != (who == "otto") {
					t.Errorf("a piece for %s: %d, with what is hidden: %v", who, piece.Code, sees)
				}
			}
			for who, seen := range screens {
				if sees := strings.Contains(seen.String(), "sesame"); sees != (who == "otto") || !strings.Contains(seen.String(), "KeyJob") {
					t.Errorf("%s, of %v, is sent what is hidden: %v", who, order, sees)
				}
			}
		}
		y.UI.Close()
	})
}

// TestOnlyTheUndoersRole takes back what an admin did as somebody who could not do it.
func TestOnlyTheUndoersRole(t *testing.T) {
	t.Parallel()
	role := Admin
	y := newYard(t, Options{Role: func(User) Role { return role }})
	y.retrying(many(2)...)
	at := y.freeze(url.Values{"verb": {"delete"}, "which": {"all"}, "state": {"retry"}})
	y.page(y.post(at+"/run", nil), 303)
	y.over(at)
	role = Operator
	id := strings.TrimPrefix(at, "/bulk/")
	for _, target := range []string{"/audit/" + id + "/undo", at + "/resume", at + "/stop"} {
		y.page(y.post(target, nil), http.StatusForbidden)
	}
	if n := len(y.all(store.Retrying)); n != 0 {
		t.Errorf("%d came back", n)
	}
}

// TestAProxyBehindAnEmptyHeader comes through a proxy on this machine that adds its
// header behind the one that it was sent.
func TestAProxyBehindAnEmptyHeader(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		w := ask(open(t, Options{}), "GET", "/", func(r *http.Request) { r.Header[header] = []string{"", "192.0.2.7"} })
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", header, w.Code)
		}
	}
}

// TestAHostileSubject names a topic's argument as it would be written to leave its
// attribute.
func TestAHostileSubject(t *testing.T) {
	t.Parallel()
	body := ask(open(t, Options{}), "GET", "/jobs/"+url.PathEscape(`"><img src=x onerror=alert(1)>`)).Body.String()
	if strings.Contains(body, "<img src=x") || !strings.Contains(body, "data-topic") {
		t.Errorf("%s", body)
	}
}
