package redisstore_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// Records of processes as Sidekiq 6.4.1, 7.3.10 and 8.1.7 write them, with what runs
// there. Those of 7 without capsules of a name have only weights.
func TestRecordsOfRuby(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := start(t, server.URL(), "q")
	const id = "vm:19110:8a278493efb1"
	base := store.Presence{
		ID: id, Host: "vm", PID: 19110, Tag: "shop", Labels: []string{"lab1"}, Started: time.UnixMicro(1795289757616411).UTC(),
		Concurrency: 2, State: "running", RSS: 30412 << 10,
	}
	shares := func(pairs ...any) (shares []store.Share) {
		for i := 0; i < len(pairs); i += 2 {
			shares = append(shares, store.Share{Queue: pairs[i].(string), Weight: pairs[i+1].(int)})
		}
		return shares
	}
	group := func(name string, concurrency int, strict bool, shares []store.Share) store.Group {
		return store.Group{Name: name, Concurrency: concurrency, Strict: strict, Queues: shares}
	}
	for _, c := range []struct {
		name, info string
		fields     []string
		work       string // the key of what runs
		payload    string
		change     func(*store.Presence)
	}{
		{
			name: "6.4.1", work: ":workers",
			info:    `{"hostname":"vm","started_at":1795289757.616411,"pid":19110,"tag":"shop","concurrency":2,"queues":["critical","low"],"labels":["lab1"],"identity":"` + id + `"}`,
			payload: `{"retry":true,"queue":"low","class":"SlowJob","args":[100],"jid":"cd907c70f4b333ada95e696a","created_at":1795289641.5510664,"enqueued_at":1795289641.5514374}`,
			change: func(p *store.Presence) {
				p.Groups = []store.Group{group("default", 2, false, shares("critical", 0, "low", 0))}
			},
		},
		{
			name: "7.3.10", work: ":work",
			info:    `{"hostname":"vm","started_at":1795289757.616411,"pid":19110,"tag":"shop","concurrency":2,"queues":["critical","default","low"],"weights":[{"low":0,"default":1,"critical":2}],"labels":["lab1"],"identity":"` + id + `","version":"7.3.10","embedded":false}`,
			payload: `{"retry":true,"queue":"low","class":"SlowJob","args":[100],"jid":"cd907c70f4b333ada95e696a","created_at":1795289641.5510664,"enqueued_at":1795289641.5514374}`,
			change: func(p *store.Presence) {
				p.Version = "7.3.10"
				p.Groups = []store.Group{group("default", 2, false, shares("critical", 2, "default", 1, "low", 0))}
			},
		},
		{
			name: "7.3.10, strict and with a capsule, embedded", work: ":work",
			info:    `{"hostname":"vm","started_at":1795289757.616411,"pid":19110,"tag":"shop","concurrency":2,"queues":["b","a","one"],"weights":[{"a":0,"b":0},{"one":1}],"labels":["lab1"],"identity":"` + id + `","version":"7.3.10","embedded":true}`,
			payload: `{"class":"SlowJob","args":[],"jid":"cd907c70f4b333ada95e696a"}`,
			change: func(p *store.Presence) {
				p.Version, p.Embedded = "7.3.10", true
				p.Groups = []store.Group{group("default", 0, true, shares("b", 0, "a", 0)), group("capsule 2", 0, false, shares("one", 1))}
			},
		},
		{
			name: "8.1.7", work: ":work", fields: []string{"concurrency", "2"},
			info:    `{"hostname":"vm","started_at":1795289757.616411,"pid":19110,"tag":"shop","capsules":{"solo":{"concurrency":1,"mode":"strict","weights":{"one":0}},"default":{"concurrency":1,"mode":"weighted","weights":{"critical":2,"default":1}}},"queues":["critical","default","one"],"weights":[{"critical":2,"default":1},{"one":0}],"labels":["lab1"],"identity":"` + id + `","version":"8.1.7","embedded":false}`,
			payload: `{"retry":true,"queue":"low","class":"SlowJob","args":[100],"jid":"cd907c70f4b333ada95e696a","created_at":1795289764512,"enqueued_at":1795289788547}`,
			change: func(p *store.Presence) {
				p.Version = "8.1.7"
				p.Groups = []store.Group{group("default", 1, false, shares("critical", 2, "default", 1)), group("solo", 1, true, shares("one", 0))}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			server.Do("DEL", id, id+":work", id+":workers")
			server.Do("SADD", "processes", id)
			server.Do(append([]string{"HSET", id, "info", c.info, "busy", "1", "beat", "1795289760.5", "rtt_us", "147", "quiet", "false", "rss", "30412"}, c.fields...)...)
			server.Do("HSET", id+c.work, "8c0", `{"queue":"low","payload":`+strconv.Quote(c.payload)+`,"run_at":1795289760}`)
			processes, err := b.Processes(t.Context())
			b.must(err)
			i := slices.IndexFunc(processes, func(p store.Process) bool { return p.ID == id })
			if i < 0 {
				t.Fatalf("not among %+v", processes)
			}
			want := store.Process{Presence: base, Lang: "ruby", Holds: 1, Beat: time.UnixMicro(1795289760500000).UTC()}
			want.Busy = []store.Run{{
				Slot: "8c0", JID: "cd907c70f4b333ada95e696a", Kind: "SlowJob", Queue: "low", Payload: []byte(c.payload), Since: time.Unix(1795289760, 0).UTC(),
			}}
			c.change(&want.Presence)
			if diff := cmp.Diff(want, processes[i]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
