package config

import (
	"cmp"
	"iter"
	"strconv"
	"strings"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// Process is the library's form of the settings. Its Grace is zero where there is
// only a guess, so that the library makes it, and warns.
func (s *Settings) Process() ebb.Config {
	c := ebb.Config{
		Stop:    ebb.StopConfig{Grace: s.Grace, Timeout: s.Timeout},
		Lease:   ebb.LeaseConfig{TTL: s.Lease.TTL, Beat: s.Lease.Beat, Poll: s.Lease.Poll},
		Dead:    ebb.DeadConfig{Max: s.Dead.Max, Age: s.Dead.Age},
		Poison:  int(s.Poison),
		Release: s.Release, Tag: s.Tag, Labels: s.Labels, Socket: s.Socket,
		Platform: ebb.PlatformConfig{Protect: s.Protect, PodDeletionCost: s.PodDeletionCost, Spot: s.Spot},
	}
	if s.Lease.CutOff == "end" {
		c.Lease.CutOff = ebb.EndJobs
	}
	if s.own {
		c.Queues, c.Weights = split(s.Queues)
		c.Concurrency = s.Concurrency
		if len(c.Queues) == 0 {
			c.Queues = []string{"default"}
		}
	}
	for _, g := range s.running {
		group := ebb.Group{Name: g.Name, Concurrency: cmp.Or(g.Concurrency, s.Concurrency)}
		group.Queues, group.Weights = split(g.Queues)
		c.Groups = append(c.Groups, group)
	}
	return c
}

// split parts names from weights. A single weight makes all of them count.
func split(queues []Queue) (names []string, weights map[string]int) {
	for _, q := range queues {
		names = append(names, q.Name)
		if q.Weight > 0 && weights == nil {
			weights = map[string]int{}
		}
	}
	for _, q := range queues {
		if weights != nil {
			weights[q.Name] = max(q.Weight, 1)
		}
	}
	return names, weights
}

// Entry is one setting with where it comes from.
type Entry struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Entries walks all settings in the order of [Keys]. Credentials are masked, and of
// the variables for handlers only names are told.
func (s *Settings) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, k := range keys {
			switch {
			case k.Name == "groups.NAME.queues":
				for _, g := range s.Groups {
					if !s.groupEntries(g, yield) {
						return
					}
				}
			case k.Name == "handlers.KIND.command":
				for _, h := range s.Handlers {
					if !s.handlerEntries(h, yield) {
						return
					}
				}
			case k.Name == "queues" && len(s.Queues) == 0 && !s.own:
			case k.field != nil || k.Name == "queues":
				if !yield(s.entry(k)) {
					return
				}
			}
		}
	}
}

// Source says where a setting comes from: "ebb.yml:12", "EBB_GRACE", "flag -c",
// "Kubernetes" or "default".
func (s *Settings) Source(key string) string {
	if key == "grace" {
		_, source := s.graceAndSource()
		return source
	}
	return cmp.Or(s.from[key].source, "default")
}

// Origins says where each setting comes from that is no default.
func (s *Settings) Origins() map[string]string {
	from := map[string]string{}
	for e := range s.Entries() {
		if e.Source != "default" {
			from[e.Key] = e.Source
		}
	}
	return from
}

func (s *Settings) entry(k Key) Entry {
	e := Entry{Key: k.Name, Value: k.Default, Source: s.Source(k.Name)}
	_, given := s.from[k.Name]
	ttl, beat := s.lease()
	switch {
	case k.Name == "store":
		e.Value = store.Redact(s.Store)
	case k.Name == "grace":
		grace, _ := s.graceAndSource()
		e.Value = formatDuration(grace)
	case k.Name == "queues" && given:
		e.Value = formatQueues(s.Queues)
	case given:
		e.Value = format(k.field(s))
	case k.Name == "lease.ttl":
		e.Value = formatDuration(ttl)
	case k.Name == "lease.beat":
		e.Value = formatDuration(beat)
	}
	return e
}

func (s *Settings) groupEntries(g Group, yield func(Entry) bool) bool {
	key := "groups." + g.Name
	grace, source := formatDuration(g.Grace), s.Source(key+".grace")
	if g.Grace == 0 {
		grace, source = "that of grace", "default"
	}
	return yield(Entry{key + ".queues", formatQueues(g.Queues), s.Source(key + ".queues")}) &&
		yield(s.slots(key+".concurrency", g)) &&
		yield(Entry{key + ".grace", grace, source})
}

func (s *Settings) slots(key string, g Group) Entry {
	switch {
	case g.Concurrency > 0:
		return Entry{key, strconv.Itoa(g.Concurrency), s.Source(key)}
	case s.Concurrency > 0:
		return Entry{key, strconv.Itoa(s.Concurrency), s.Source("concurrency")}
	}
	return Entry{key, plain("concurrency").Default, "default"}
}

func (s *Settings) handlerEntries(h Handler, yield func(Entry) bool) bool {
	words := make([]string, len(h.Argv))
	for i, word := range h.Argv {
		words[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n\"'\\") {
			words[i] = strconv.Quote(word)
		}
	}
	names := make([]string, len(h.Env))
	for i, v := range h.Env {
		names[i], _, _ = strings.Cut(v, "=")
	}
	retry := ""
	if h.Retry != nil {
		retry = strconv.Itoa(*h.Retry)
	}
	for _, v := range []struct{ name, value string }{
		{"command", strings.Join(words, " ")}, {"timeout", format(&h.Timeout)}, {"notice", signalName(h.Notice)},
		{"snooze", format(&h.Snooze)}, {"retry", retry}, {"env", strings.Join(names, " ")}, {"dir", h.Dir},
	} {
		key := "handlers." + h.Kind + "." + v.name
		if v.value != "" && !yield(Entry{key, v.value, s.Source(key)}) {
			return false
		}
	}
	return true
}
