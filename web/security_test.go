package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// with sets a header.
func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func fromAddr(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
func asHost(host string) func(*http.Request)   { return func(r *http.Request) { r.Host = host } }
func asUser(name, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(name, password) }
}

type edits []func(*http.Request)

func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	proxy := ProxyHeader("X-Forwarded-User", netip.MustParsePrefix("10.0.0.0/8"))
	deny := Func(func(*http.Request) (User, error) { return User{}, errors.New("not today") })
	nobody := func(User) Role { return Nobody }
	for name, c := range map[string]struct {
		opt  Options
		as   edits
		want int
	}{
		"this machine":                     {Options{}, nil, 200},
		"this machine by IPv6":             {Options{}, edits{fromAddr("[::1]:5"), asHost("[::1]:9090")}, 200},
		"another machine":                  {Options{}, edits{fromAddr("192.0.2.7:5")}, 403},
		"this machine through a proxy":     {Options{}, edits{with("X-Forwarded-For", "192.0.2.7")}, 403},
		"somebody else's name turned here": {Options{}, edits{asHost("evil.example")}, 421},
		"a name that begins like ours":     {Options{}, edits{asHost("localhost.evil.example")}, 421},
		"not among the hosts":              {Options{Auth: Anybody(), Hosts: []string{"jobs.example"}}, edits{asHost("evil.example")}, 421},
		"among the hosts, with a port":     {Options{Auth: Anybody(), Hosts: []string{"jobs.example"}}, edits{asHost("Jobs.example:443")}, 200},

		"password":               {Options{Auth: Basic("ada", "s3cret")}, edits{asUser("ada", "s3cret")}, 200},
		"wrong password":         {Options{Auth: Basic("ada", "s3cret")}, edits{asUser("ada", "s3cre")}, 401},
		"wrong name":             {Options{Auth: Basic("ada", "s3cret")}, edits{asUser("bob", "s3cret")}, 401},
		"no password":            {Options{Auth: Basic("ada", "s3cret")}, nil, 401},
		"token":                  {Options{Auth: Bearer("ci", "t0ken")}, edits{with("Authorization", "Bearer t0ken")}, 200},
		"wrong token":            {Options{Auth: Bearer("ci", "t0ken")}, edits{with("Authorization", "Bearer t0ke")}, 401},
		"no token is set":        {Options{Auth: Bearer("ci", "")}, edits{with("Authorization", "Bearer ")}, 401},
		"proxy":                  {Options{Auth: proxy}, edits{fromAddr("10.1.2.3:5"), with("X-Forwarded-User", "ada")}, 200},
		"proxy, IPv4 in IPv6":    {Options{Auth: proxy}, edits{fromAddr("[::ffff:10.1.2.3]:5"), with("X-Forwarded-User", "ada")}, 200},
		"proxy without a name":   {Options{Auth: proxy}, edits{fromAddr("10.1.2.3:5")}, 401},
		"a header from anybody":  {Options{Auth: proxy}, edits{fromAddr("192.0.2.7:5"), with("X-Forwarded-User", "ada")}, 401},
		"two names":              {Options{Auth: proxy}, edits{fromAddr("10.1.2.3:5"), func(r *http.Request) { r.Header["X-Forwarded-User"] = []string{"ada", "root"} }}, 401},
		"refused by the program": {Options{Auth: deny}, nil, 403},
		"a user who is nobody":   {Options{Auth: Anybody(), Role: nobody}, nil, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ui := open(t, c.opt)
			for _, target := range []string{"/", "/live?topic=none&page=/&version=", "/piece?topic=deploy&page=/", "/find", "/no/such/page"} {
				w := ask(ui, "GET", target, c.as...)
				if denied := w.Code == 401 || w.Code == 403 || w.Code == 421; denied != (c.want != 200) || denied && w.Code != c.want {
					t.Errorf("GET %s: %d, want %d", target, w.Code, c.want)
				}
				if c.want != 200 && strings.Contains(w.Body.String(), "<nav") {
					t.Errorf("GET %s shows pages to who may see none", target)
				}
			}
		})
	}
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	for want, auth := range map[string]Auth{
		`Basic realm="ebb", charset="UTF-8"`: Basic("ada", "s3cret"),
		`Bearer realm="ebb"`:                 Bearer("ci", "t0ken"),
		"":                                   ProxyHeader("X-Forwarded-User"),
	} {
		if got := ask(open(t, Options{Auth: auth}), "GET", "/").Header().Get("Www-Authenticate"); got != want {
			t.Errorf("%T: challenge %q, want %q", auth, got, want)
		}
	}
}

// TestWhoMayChange asks every change there is, as who may not: nothing must be done.
func TestWhoMayChange(t *testing.T) {
	t.Parallel()
	foreign := edits{with("Sec-Fetch-Site", "cross-site"), with("Origin", "https://evil.example")}
	for name, c := range map[string]struct {
		opt  Options
		need Role
		as   edits
		want int
	}{
		"viewer to an operator's": {Options{Role: func(User) Role { return Viewer }}, Operator, nil, 403},
		"operator to an admin's":  {Options{Role: func(User) Role { return Operator }}, Admin, nil, 403},
		"operator":                {Options{Role: func(User) Role { return Operator }}, Operator, nil, 200},
		"admin":                   {Options{}, Admin, nil, 200},
		"another site":            {Options{}, Operator, foreign, 403},
		"an old browser, another": {Options{}, Operator, edits{with("Origin", "https://evil.example")}, 403},
		"this site":               {Options{}, Operator, edits{with("Sec-Fetch-Site", "same-origin"), with("Origin", "http://localhost:9090")}, 200},
		"read-only":               {Options{ReadOnly: true}, Operator, nil, 405},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ui, changed := open(t, c.opt), false
			ui.post("/test", c.need, func(http.ResponseWriter, *request) error {
				changed = true
				return nil
			})
			if w := ask(ui, "POST", "/test", c.as...); w.Code != c.want {
				t.Errorf("%d, want %d", w.Code, c.want)
			}
			if changed != (c.want == 200) {
				t.Errorf("changed: %v", changed)
			}
		})
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	ui := open(t, Options{})
	for _, target := range []string{"/", "/no/such/page", "/find?q=%3Cscript%3E", "/assets/x/ebb.js", "/piece?topic=deploy&page=/", "//evil.example/", "/live"} {
		h := ask(ui, "GET", target).Header()
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("GET %s: %v", target, h)
		}
		if to := h.Get("Location"); to != "" {
			t.Errorf("GET %s leads to %q", target, to)
		}
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	ui := open(t, Options{})
	for _, c := range []struct {
		method, target string
		want           int
		allow          string
	}{
		{"HEAD", "/", 200, ""}, {"HEAD", "/live?topic=deploy&page=/&version=", 200, ""}, {"OPTIONS", "/more", 405, "GET"}, {"DELETE", "/more", 405, "GET"},
		{"POST", "/more", 405, "GET"}, {"GET", "/no/such/page", 404, ""}, {"GET", "//more", 404, ""}, {"GET", "/more/", 404, ""}, {"GET", "/x/../more", 404, ""},
	} {
		w := ask(ui, c.method, c.target)
		if w.Code != c.want || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q, want %d and %q", c.method, c.target, w.Code, w.Header().Get("Allow"), c.want, c.allow)
		}
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		opt   Options
		strip string
		as    edits
		want  string
	}{
		"at the root":                  {Options{}, "", nil, ""},
		"stripped":                     {Options{}, "/a/b/jobs", nil, "/a/b/jobs"},
		"said":                         {Options{Base: "/jobs"}, "", nil, "/jobs"},
		"by a proxy":                   {Options{Auth: Anybody(), Trusted: trusted}, "", edits{fromAddr("10.1.1.1:5"), with("X-Forwarded-Prefix", "/ops/")}, "/ops"},
		"by a proxy, and stripped":     {Options{Auth: Anybody(), Trusted: trusted}, "/jobs", edits{fromAddr("10.1.1.1:5"), with("X-Forwarded-Prefix", "/ops")}, "/ops/jobs"},
		"by anybody":                   {Options{Auth: Anybody(), Trusted: trusted}, "", edits{fromAddr("192.0.2.7:5"), with("X-Forwarded-Prefix", "/ops")}, ""},
		"one that leads elsewhere":     {Options{Auth: Anybody(), Trusted: trusted}, "", edits{fromAddr("10.1.1.1:5"), with("X-Forwarded-Prefix", "//evil.example")}, ""},
		"one that leads elsewhere too": {Options{Auth: Anybody(), Trusted: trusted}, "", edits{fromAddr("10.1.1.1:5"), with("X-Forwarded-Prefix", `/\evil.example`)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h http.Handler = open(t, c.opt)
			if c.strip != "" {
				h = http.StripPrefix(c.strip, h)
			}
			w := ask(h, "GET", c.strip+"/more", c.as...)
			if body := w.Body.String(); !strings.Contains(body, `data-base="`+c.want+`"`) || !strings.Contains(body, `href="`+c.want+`/find"`) {
				t.Errorf("%d, want links below %q:\n%.600s", w.Code, c.want, body)
			}
		})
	}
	w := ask(http.StripPrefix("/jobs", open(t, Options{})), "GET", "/jobs")
	if to := w.Header().Get("Location"); to != "/jobs/" {
		t.Errorf("without its slash it leads to %q, want /jobs/", to)
	}
}

func TestBackLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for back, want := range map[string]string{
		"/jobs/queues?page=2":       "/jobs/queues?change=7&page=2",
		"/jobs/":                    "/jobs/?change=7",
		"":                          "/jobs/?change=7",
		"/other":                    "/jobs/?change=7",
		"//evil.example/jobs/":      "/jobs/?change=7",
		"https://evil.example/":     "/jobs/?change=7",
		`/\evil.example`:            "/jobs/?change=7",
		"/\t/evil.example":          "/jobs/?change=7",
		"javascript:alert(1)":       "/jobs/?change=7",
		"/jobs/queues\r\nX-Bad: no": "/jobs/?change=7",
	} {
		ui := open(t, Options{Base: "/jobs"})
		ui.post("/test", Operator, func(w http.ResponseWriter, r *request) error { return ui.back(w, r, "7") })
		r := httptest.NewRequest("POST", "/test", strings.NewReader(url.Values{"back": {back}}.Encode()))
		r.RemoteAddr, r.Host = "127.0.0.1:5", "localhost"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		ui.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("back to %q leads to %q, want %q", back, got, want)
		}
	}
}

func TestMistakesInOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"base without a slash": {Base: "jobs"}, "base with one too many": {Base: "/jobs/"}, "base elsewhere": {Base: "//evil.example"},
		"host with a port": {Hosts: []string{"jobs.example:9090"}}, "link that is none": {Links: []Link{{"Logs", "javascript:alert(1)"}}},
	} {
		if err := o.check(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
