package redisstore

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// What Ruby's Busy page sends a process, and what that means.
var verbs = map[string]store.Verb{"TSTP": store.Quiet, "TERM": store.Stop, "TTIN": store.Dump}

// presence is what of a process is kept for people, as ebb keeps it.
type presence struct {
	store.Presence
	At   float64 `json:"at"`             // when it was written, by the store's clock
	TTL  int64   `json:"ttl"`            // of its lease, in ms
	Lang string  `json:"lang,omitempty"` // "" is Go; a Sidekiq with ebb's fetch says "ruby"
}

func (u *pulse) presence(now time.Time) string {
	text, err := json.Marshal(presence{Presence: u.p, At: float64(now.UnixMicro()) / 1e6, TTL: u.ttl.Milliseconds()})
	if err != nil {
		return "{}"
	}
	return string(text)
}

// ourVersion begins what ebb's processes write where Sidekiq's write their version.
const ourVersion = "ebb "

// rubyInfo is the field info of a Sidekiq process's record: all that 6.4, 7.3 and
// 8.1 read.
type rubyInfo struct {
	Hostname    string                 `json:"hostname"`
	StartedAt   json.RawMessage        `json:"started_at"`
	PID         int                    `json:"pid"`
	Tag         string                 `json:"tag"`
	Concurrency int                    `json:"concurrency"`
	Capsules    map[string]rubyCapsule `json:"capsules"`
	Queues      []string               `json:"queues"`
	Weights     []map[string]int       `json:"weights"`
	Labels      []string               `json:"labels"`
	Identity    store.Identity         `json:"identity"`
	Version     string                 `json:"version"`
	Embedded    bool                   `json:"embedded"`
}

type rubyCapsule struct {
	Concurrency int            `json:"concurrency"`
	Mode        string         `json:"mode"`
	Weights     map[string]int `json:"weights"`
}

// rubyWork is a value of <id>:work and <id>:workers.
type rubyWork struct {
	Queue   string `json:"queue"`
	Payload string `json:"payload"`
	RunAt   int64  `json:"run_at"`
}

// rubyRecord is the process as Ruby's pages show it: the fields of its record with
// their values, and its busy slots with what runs there.
func (u *pulse) rubyRecord(now time.Time) (fields, work []string) {
	p := u.p
	info := rubyInfo{
		Hostname: p.Host, StartedAt: json.RawMessage(seconds(p.Started)), PID: p.PID, Tag: p.Tag, Concurrency: p.Concurrency,
		Capsules: map[string]rubyCapsule{}, Queues: []string{}, Weights: []map[string]int{}, Labels: append([]string{}, p.Labels...),
		Identity: p.ID, Version: ourVersion + p.Version, Embedded: p.Embedded,
	}
	for _, g := range p.Groups {
		c := rubyCapsule{Concurrency: g.Concurrency, Mode: "weighted", Weights: map[string]int{}}
		if g.Strict {
			c.Mode = "strict"
		}
		for _, q := range g.Queues {
			weight := max(q.Weight, 1)
			if g.Strict {
				weight = 0 // that is how Ruby says it
			}
			info.Queues = append(info.Queues, q.Queue)
			c.Weights[q.Queue] = weight
		}
		info.Capsules[g.Name] = c
		info.Weights = append(info.Weights, c.Weights)
	}
	text, err := json.Marshal(info)
	if err != nil {
		text = []byte("{}")
	}
	fields = []string{
		"info", string(text), "busy", strconv.Itoa(len(p.Busy)), "beat", seconds(now), "rtt_us", strconv.FormatInt(u.rtt.Microseconds(), 10),
		"quiet", strconv.FormatBool(p.State != "running"), "rss", strconv.FormatInt(p.RSS/1024, 10), "concurrency", strconv.Itoa(p.Concurrency),
	}
	for _, r := range p.Busy {
		if text, err := json.Marshal(rubyWork{r.Queue, string(r.Payload), r.Since.Unix()}); err == nil {
			work = append(work, r.Slot, string(text))
		}
	}
	return fields, work
}

// readRuby makes a process of Ruby's record and busy slots; ok is false if nothing
// proves that it lives, or if it is one of ebb's that is known by its lease alone.
func readRuby(id store.Identity, record, work, workers rueidis.RedisMessage) (p store.Process, ok bool) {
	fields, _ := record.AsStrMap()
	var info rubyInfo
	if fields["info"] == "" || json.Unmarshal([]byte(fields["info"]), &info) != nil || strings.HasPrefix(info.Version, ourVersion) {
		return p, false
	}
	p.Presence = store.Presence{
		ID: id, Host: info.Hostname, PID: info.PID, Tag: info.Tag, Version: info.Version, Labels: info.Labels,
		Started: epoch(string(info.StartedAt)), Concurrency: info.Concurrency, Embedded: info.Embedded, State: "running",
	}
	p.Lang, p.Beat = "ruby", epoch(fields["beat"])
	if n, err := strconv.Atoi(fields["concurrency"]); err == nil {
		p.Concurrency = n
	}
	if kib, err := strconv.ParseInt(fields["rss"], 10, 64); err == nil {
		p.RSS = kib * 1024
	}
	if fields["quiet"] == "true" {
		p.State = "quiet"
	}
	p.Groups = info.groups(p.Concurrency)
	slots, _ := work.AsStrMap()
	older, _ := workers.AsStrMap() // up to 6.4.1
	for slot, text := range older {
		if slots == nil {
			slots = map[string]string{}
		}
		slots[slot] = text
	}
	for slot, text := range slots {
		if r, ok := readWork(slot, text); ok {
			p.Busy = append(p.Busy, r)
		}
	}
	p.Holds = int64(len(p.Busy))
	return p, true
}

// groups are the capsules of a process: by name from Sidekiq 8.0.9 on, and before that
// by their weights alone, from 7.0.2 on. Who has several tells only how many threads
// they have together.
func (i rubyInfo) groups(concurrency int) (groups []store.Group) {
	for _, name := range slices.Sorted(maps.Keys(i.Capsules)) {
		c := i.Capsules[name]
		groups = append(groups, store.Group{Name: name, Strict: c.Mode == "strict", Concurrency: c.Concurrency, Queues: i.shares(c.Weights)})
	}
	if len(groups) > 0 {
		return groups
	}
	for n, weights := range i.Weights {
		g := store.Group{Name: "default", Queues: i.shares(weights), Strict: true}
		if n > 0 {
			g.Name = "capsule " + strconv.Itoa(n+1)
		}
		if len(i.Weights) == 1 {
			g.Concurrency = concurrency
		}
		for _, weight := range weights {
			g.Strict = g.Strict && weight == 0
		}
		groups = append(groups, g)
	}
	if len(groups) > 0 {
		return groups
	}
	g := store.Group{Name: "default", Concurrency: concurrency}
	for _, q := range i.Queues {
		g.Queues = append(g.Queues, store.Share{Queue: q})
	}
	return []store.Group{g}
}

// shares are queues with their weights, in the order in which the process names them.
func (i rubyInfo) shares(weights map[string]int) (shares []store.Share) {
	for _, q := range append(slices.Clone(i.Queues), slices.Sorted(maps.Keys(weights))...) {
		weight, ok := weights[q]
		if ok && !slices.ContainsFunc(shares, func(s store.Share) bool { return s.Queue == q }) {
			shares = append(shares, store.Share{Queue: q, Weight: weight})
		}
	}
	return shares
}

func readWork(slot, text string) (store.Run, bool) {
	var w struct {
		Queue   string          `json:"queue"`
		Payload json.RawMessage `json:"payload"`
		RunAt   float64         `json:"run_at"`
	}
	if json.Unmarshal([]byte(text), &w) != nil {
		return store.Run{}, false
	}
	payload := []byte(w.Payload)
	var quoted string
	if json.Unmarshal(w.Payload, &quoted) == nil {
		payload = []byte(quoted)
	}
	r := store.Run{Slot: slot, Queue: w.Queue, Payload: payload, Since: epoch(strconv.FormatFloat(w.RunAt, 'f', 6, 64))}
	if job, _ := wire.Parse(payload); job != nil {
		r.JID, r.Kind = job.JID, job.Name()
	}
	return r, true
}

// epoch reads seconds since 1970; what is none is the zero time.
func epoch(text string) time.Time {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return time.Time{}
	}
	return time.UnixMicro(int64(math.Round(f * 1e6))).UTC()
}
