package config

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/platform"
	"github.com/ebbjobs/ebb/lifecycle"
)

const defaultStore = "sqlite:ebb.db"

// The least time between two signs of life.
const minBeat = 10 * time.Millisecond

// platformGrace is the grace that a platform is known for.
type platformGrace struct {
	grace time.Duration
	name  string // "" where no platform is recognised
}

// platform takes what the surroundings say without knowing of ebb.
func (l *loader) platform() {
	l.s.Store = defaultStore
	l.s.from["store"] = origin{rank: fromDefault}
	l.redis()
	if threads := l.in.Getenv("RAILS_MAX_THREADS"); threads != "" {
		l.give(plain("concurrency"), origin{fromPlatform, "RAILS_MAX_THREADS", "RAILS_MAX_THREADS"}, threads)
	}
	found, err := platform.Look(platform.Input{
		Getenv: func(name string) string {
			if name == "EBB_GRACE" {
				return "" // ranks higher, and is read later
			}
			return l.in.Getenv(name)
		},
		Root: os.DirFS("/"), PID: os.Getpid(),
	})
	if err == nil {
		l.s.guess = platformGrace{found.Grace, found.Platform}
	}
}

// redis takes the store as Ruby's clients find it. A provider is the name of the
// variable that has the URL.
func (l *loader) redis() {
	provider, url, name := l.in.Getenv("REDIS_PROVIDER"), l.in.Getenv("REDIS_URL"), "REDIS_URL"
	switch {
	case strings.Contains(provider, ":"):
		l.tell("REDIS_PROVIDER", "this names the variable that has the URL, and is no URL itself")
		return
	case provider != "" && l.in.Getenv(provider) != "":
		url, name = l.in.Getenv(provider), provider+" (by REDIS_PROVIDER)"
	case provider != "" && url == "":
		l.tell("REDIS_PROVIDER", "this names %s, which is not set", provider)
		return
	}
	if url != "" {
		l.give(plain("store"), origin{fromPlatform, name, name}, url)
	}
}

// choose settles which groups run, and whose grace counts for them.
func (l *loader) choose() {
	s := l.s
	_, queues := s.from["queues"]
	switch {
	case len(l.in.Groups) > 0:
		l.chosen()
	case queues || len(s.Groups) == 0:
		s.own = true
		if s.section != "" {
			s.running = s.Groups // Sidekiq runs its capsules beside them
		}
	default:
		s.running = s.Groups
	}
	if s.from["grace"].rank >= fromEnv {
		return
	}
	for _, g := range s.running {
		if g.Grace > s.Grace {
			s.Grace = g.Grace
			from := s.from["groups."+g.Name+".grace"]
			if len(s.running) > 1 {
				from.source += ", the longest of all groups that run"
			}
			s.from["grace"] = from
		}
	}
}

// chosen takes the groups that flags name.
func (l *loader) chosen() {
	for _, f := range l.in.Flags {
		switch f.Key {
		case "queues", "concurrency":
			l.tell("flag "+f.Name, "this does not go with --group, since a group brings queues and slots of its own: leave one of the two out")
		}
	}
	var names []string
	for _, g := range l.s.Groups {
		names = append(names, g.Name)
	}
	for i, name := range l.in.Groups {
		at := slices.Index(names, name)
		switch {
		case at < 0:
			l.tell("flag --group", "%s", unknown("group", name, names))
		case !slices.Contains(l.in.Groups[:i], name):
			l.s.running = append(l.s.running, l.s.Groups[at])
		}
	}
}

// judge looks at values that must suit each other.
func (l *loader) judge() {
	s := l.s
	if at, ok := s.from["timeout"]; ok && s.Grace > 0 && s.Timeout >= s.Grace {
		l.tell(at.where, "timeout: %s is not less than the grace of %s (%s)", formatDuration(s.Timeout), formatDuration(s.Grace), s.from["grace"].source)
	}
	if _, err := s.ListenAddress(); err != nil {
		l.tell(s.from["listen"].where, "listen: %v", err)
	}
	ttl, beat := s.lease()
	at := s.from["lease.beat"]
	if at.where == "" {
		at = s.from["lease.ttl"]
	}
	switch {
	case beat < minBeat:
		l.tell(at.where, "lease.beat: %v is less than %v", beat, minBeat)
	case ttl < 4*beat:
		l.tell(at.where, "lease.ttl: %v is less than four times the beat of %v", ttl, beat)
	}
}

// lease is what the library makes of one of the two when only the other is set.
func (s *Settings) lease() (ttl, beat time.Duration) {
	ttl, beat = s.Lease.TTL, s.Lease.Beat
	if ttl == 0 {
		ttl = max(12*time.Second, 4*beat)
	}
	if beat == 0 {
		beat = min(750*time.Millisecond, ttl/8)
	}
	return ttl, beat
}

// graceAndSource is the grace that counts, a guess included.
func (s *Settings) graceAndSource() (time.Duration, string) {
	switch {
	case s.Grace > 0:
		return s.Grace, s.from["grace"].source
	case s.Timeout > 0:
		return lifecycle.GraceFor(s.Timeout), "timeout (" + s.from["timeout"].source + ")"
	case s.guess.name != "":
		return s.guess.grace, s.guess.name
	}
	return lifecycle.DefaultGrace, "default"
}
