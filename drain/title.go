package drain

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// title is what Sidekiq makes its process be called, at every heartbeat:
//
//	sidekiq 6.4.1 shop [2 of 5 busy] stopping
type title struct {
	major   int
	version string
	tag     string
	busy    int
	quiet   bool
}

var titleForm = regexp.MustCompile(`^sidekiq (\d+)(\.\d\S*)(?: (.*?))? *\[(\d+) of \d+ busy\](.*)$`)

// parseTitle reads a process's title. What a plug-in adds at its end does no harm.
func parseTitle(text string) (t title, ok bool) {
	m := titleForm.FindStringSubmatch(text)
	if m == nil {
		return t, false
	}
	var err1, err2 error
	t.major, err1 = strconv.Atoi(m[1])
	t.busy, err2 = strconv.Atoi(m[4])
	t.version, t.tag = m[1]+m[2], strings.TrimSpace(m[3])
	for word := range strings.FieldsSeq(m[5]) {
		t.quiet = t.quiet || word == "stopping"
	}
	return t, err1 == nil && err2 == nil
}

// ebb reports whether it is the title of a worker of ebb's, which puts its name where
// Sidekiq has the application's.
func (t title) ebb() bool { return t.tag == "ebb" || strings.HasPrefix(t.tag, "ebb ") }

// heartbeat is the most that two titles of one process are apart in time, with what a
// slow Redis adds: 5 s up to Sidekiq 6, 10 s since (launcher.rb, BEAT_PAUSE). Ebb's are
// half a second apart.
func (t title) heartbeat() time.Duration {
	switch {
	case t.ebb():
		return time.Second
	case t.major <= 6:
		return 5500 * time.Millisecond
	}
	return 11 * time.Second
}

// isSidekiq reports whether a command line starts Ruby's Sidekiq: such a process has
// its title only once it runs.
func isSidekiq(argv []string) bool {
	if len(argv) == 0 {
		return false
	}
	program := path.Base(argv[0])
	switch {
	case program == "sidekiq":
		return true
	case program == "bundle", program == "java", strings.HasPrefix(program, "ruby"), strings.HasPrefix(program, "jruby"), strings.HasPrefix(program, "truffleruby"):
	default:
		return false
	}
	for _, arg := range argv[1:] {
		switch name := path.Base(arg); {
		case strings.HasPrefix(arg, "-"), name == "bundle", name == "bundler", name == "exec", name == "ruby":
		default:
			return name == "sidekiq"
		}
	}
	return false
}
