package web

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// request is one question, and who asks it.
type request struct {
	*http.Request
	ui   *UI
	base string // before every path of ours; empty at the root
	User User
	Role Role
	Now  time.Time
}

// enter lets a request in, or says why not. The request is there for the page that
// says so, too.
func (ui *UI) enter(w http.ResponseWriter, hr *http.Request) (*request, error) {
	r := &request{Request: hr, ui: ui, base: ui.baseOf(hr), Now: time.Now()}
	if err := ui.checkHost(hr); err != nil {
		return r, err
	}
	user, err := ui.auth.User(hr)
	if err != nil {
		return r, unauthorized(ui.auth, err)
	}
	r.User, r.Role = user, ui.opt.Role(user)
	if r.Role < Viewer {
		return r, forbidden(Viewer)
	}
	if err := new(http.CrossOriginProtection).Check(hr); err != nil {
		return r, fault(http.StatusForbidden, err, "open the page itself and try again there")
	}
	return r, nil
}

// baseOf is the path under which a request found us.
func (ui *UI) baseOf(r *http.Request) string {
	if ui.opt.Base != "" {
		return ui.opt.Base
	}
	base := ""
	if full, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasSuffix(full, r.URL.EscapedPath()) {
		base = strings.TrimSuffix(full, r.URL.EscapedPath())
	}
	if prefix := r.Header.Get("X-Forwarded-Prefix"); prefix != "" && from(r, ui.opt.Trusted) {
		base = strings.TrimSuffix(prefix, "/") + base
	}
	if !isBase(base) {
		return ""
	}
	return base
}

// basePath allows what cannot lead elsewhere: browsers take two slashes, or a backslash,
// for the beginning of a host.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9._~@:%+-]+)+$`)

func isBase(path string) bool { return basePath.MatchString(path) }

// checkHost refuses names that are not ours: a page of somebody else's whose name was
// turned to this machine would be of our origin.
func (ui *UI) checkHost(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	switch {
	case slices.ContainsFunc(ui.opt.Hosts, func(h string) bool { return strings.EqualFold(strings.Trim(h, "[]"), host) }):
		return nil
	case len(ui.opt.Hosts) == 0 && (ui.opt.Auth != nil || isLoopback(host)):
		return nil
	}
	return fault(http.StatusMisdirectedRequest, errHost(host), "add it to the names that are served: --host, or web.Options.Hosts")
}

// Path is a path of ours with pairs of a name and a value as its query; empty values
// are left out.
func (r *request) Path(path string, query ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			values.Set(query[i], query[i+1])
		}
	}
	if len(values) == 0 {
		return r.base + path
	}
	return r.base + path + "?" + values.Encode()
}

// With is this page's own address with one value of its query changed; empty takes it
// out.
func (r *request) With(name, value string) string {
	query := r.URL.Query()
	query.Del("change")
	query.Del("after")
	if query.Set(name, value); value == "" {
		query.Del(name)
	}
	if len(query) == 0 {
		return r.base + r.URL.EscapedPath()
	}
	return r.base + r.URL.EscapedPath() + "?" + query.Encode()
}

// May reports whether who asks may do what a role is needed for.
func (r *request) May(role string) bool {
	if r.ui.opt.ReadOnly && role != "view" {
		return false
	}
	return r.Role >= map[string]Role{"view": Viewer, "operate": Operator, "administer": Admin}[role]
}

// Args reports whether who asks may see the arguments of jobs.
func (r *request) Args() bool { return !r.ui.opt.HideArgs || r.Role >= Operator }

// Who is who asks, as the audit trail names people.
func (r *request) Who() string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if r.User.Name == "" {
		return "web@" + host
	}
	return r.User.Name + "@" + host
}
