package web

import (
	"fmt"
	"html/template"
	"net/netip"
	"regexp"
	"strings"
)

// Options say who may see and do what, and how the pages name themselves. The zero
// value serves browsers on the same machine, and lets them do everything.
type Options struct {
	// Auth finds out who asks. nil: nobody is asked, and only who comes from this
	// machine, by one of its loopback names and not through a proxy, is served.
	Auth Auth
	// Role says what a user may do. nil: [Admin], everything.
	Role func(User) Role
	// ReadOnly takes away every change: their routes answer 405.
	ReadOnly bool
	// HideArgs keeps the arguments of jobs from [Viewer], whose searches do not look into
	// them.
	HideArgs bool

	// Hosts are the names under which the pages may be asked for, without a port. Empty:
	// any with an Auth, and loopback names without one. A name that somebody else's DNS
	// turns to this machine is refused so.
	Hosts []string
	// Base is the path under which the pages are mounted, such as "/jobs". Empty: what
	// [http.StripPrefix] took away, behind what a trusted proxy names in
	// X-Forwarded-Prefix.
	Base string
	// Trusted are the proxies whose X-Forwarded-Prefix counts. Empty: none.
	Trusted []netip.Prefix

	// Title names what is shown, such as "shop · production". Empty: the host name.
	Title string
	// Env paints a band, and in Production every change of many jobs asks twice.
	Env Env
	// Redact hides values in arguments and payloads, on top of what a job itself hides.
	// Nobody can search for them. nil: none.
	Redact func(path string) bool
	// Links are shown with each job.
	Links []Link
	// Explain finds the rule behind what a process or the store found wrong, in their
	// words. nil: the words stand alone. ebb web has those of package doctor, which a
	// program that mounts the pages need not link.
	Explain func(finding string) (Rule, bool)
}

// Rule explains a finding.
type Rule struct {
	ID  string // as ebb doctor --explain knows it
	Why string // why jobs die of it
	Fix string // what to do
}

// Env is where the jobs run.
type Env string

// The environments that have a band of their own.
const (
	Production Env = "production"
	Staging    Env = "staging"
)

// Link leads from a job to elsewhere. In URL, {{.JID}}, {{.Kind}}, {{.Queue}} and
// {{.Process}} stand for those of the job, escaped as a part of a query.
type Link struct{ Text, URL string }

// check reports whether the address can be made for any job.
func (l Link) check() error {
	if _, err := template.New("").Parse(l.URL); err != nil || !strings.HasPrefix(l.URL, "https://") && !strings.HasPrefix(l.URL, "http://") {
		return fmt.Errorf("Links: %q: want a web address in which {{.JID}} and the like stand for the job's", l.URL)
	}
	return nil
}

// KeysMatching hides every value whose key contains one of words, in any case.
func KeysMatching(words ...string) func(path string) bool {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = regexp.QuoteMeta(word)
	}
	if len(words) == 0 {
		return func(string) bool { return false }
	}
	any := regexp.MustCompile("(?i)" + strings.Join(quoted, "|"))
	return func(path string) bool { return any.MatchString(path[strings.LastIndexByte(path, '.')+1:]) }
}
