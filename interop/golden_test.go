package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// golden are the payloads of 6.4.1, 7.3.10 and 8.1.7 in package wire's testdata that a
// handler here may run, and where the next failure leads.
var golden = map[string]store.Place{
	"v6-push": store.Retrying, "v6-options": store.Retrying, "v6-scheduled": store.Retrying,
	"v6-failed": store.Retrying, "v6-retried": store.Dead, "v6-dead": store.Dead,
	"v7-push": store.Retrying, "v7-failed": store.Retrying, "v7-activejob": store.Retrying,
	"v8-push": store.Retrying, "v8-scheduled": store.Retrying, "v8-failed": store.Retrying, "v8-activejob": store.Retrying,
	"minimal": store.Retrying,
}

// member is a field of an object, as it is written.
type member struct{ Key, Value string }

func members(t *testing.T, object []byte) (list []member) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.Token()
	for dec.More() {
		key, err := dec.Token()
		var value json.RawMessage
		if err == nil {
			err = dec.Decode(&value)
		}
		if err != nil {
			t.Fatalf("%v in %s", err, object)
		}
		list = append(list, member{fmt.Sprint(key), string(value)})
	}
	return list
}

// written are the fields that a life of a job changes, and others may not.
var written = []string{"queue", "enqueued_at", "failed_at", "retried_at", "retry_count", "error_class", "error_message", "error_backtrace"}

func without(list []member, keys []string) []member {
	return slices.DeleteFunc(slices.Clone(list), func(m member) bool { return slices.Contains(keys, m.Key) })
}

// readings are what the time in a field is to a 6 or 7, which take any number for
// seconds, and to an 8, which takes an integer for milliseconds.
func readings(value string) (seven, eight float64) {
	seven, _ = strconv.ParseFloat(value, 64)
	if eight = seven; !strings.ContainsAny(value, ".eE") {
		eight /= 1000
	}
	return seven, eight
}

func TestGoldenPayloadsLiveOn(t *testing.T) {
	t.Parallel()
	p, seen := newPair(t), &runs{}
	before := map[string][]byte{}
	kinds := map[string]bool{}
	for name := range golden {
		payload, err := os.ReadFile("../wire/testdata/payloads/" + name + ".json")
		p.must(err)
		payload = bytes.TrimSpace(payload)
		job, err := wire.Parse(payload)
		p.must(err)
		if inner := job.Unwrapped(); inner != nil {
			job = inner
		}
		kinds[job.Kind] = true
		before[name] = payload
	}
	p.start(ebb.Config{Queues: []string{"default", "low", "mailers", "critical", "café"}}, func(process *ebb.Process) {
		for kind := range kinds {
			seen.handle(process, func(string, int) error { return errors.New("no luck") }, kind)
		}
	})
	began := time.Now()
	for name, payload := range before { // due since long ago, in the order of nothing
		set := map[bool]string{true: "retry", false: "schedule"}[bytes.Contains(payload, []byte("retry_count"))]
		p.server.Do("ZADD", set, "1795289592.3524945", string(payload))
		was, _ := wire.Parse(payload)
		var e store.Entry
		p.await("the failure of "+name, func() bool {
			found := p.entries(was.JID)
			if len(found) == 1 {
				e = found[0]
			}
			return bytes.Contains(e.Payload, []byte("no luck"))
		})
		is, err := wire.Parse(e.Payload)
		p.must(err)
		if e.Place != golden[name] || is.Count != was.Count+1 {
			t.Errorf("%s: it is in %v with retry_count %d", name, e.Place, is.Count)
		}
		if diff := cmp.Diff(without(members(t, payload), written), without(members(t, e.Payload), written)); diff != "" {
			t.Errorf("%s: what nobody may change (-want +got):\n%s", name, diff)
		}
		for _, m := range members(t, e.Payload) {
			now := m.Key == "enqueued_at" || m.Key == "retried_at" || m.Key == "failed_at" && was.FailedAt.IsZero()
			if !now {
				continue
			}
			seven, eight := readings(m.Value)
			if from, to := float64(began.Unix()-1), float64(time.Now().Unix()+1); seven < from || seven > to || eight < from || eight > to {
				t.Errorf("%s: %s is %s, which 7 reads as %f and 8 as %f", name, m.Key, m.Value, seven, eight)
			}
		}
		p.server.Do("ZREM", map[store.Place]string{store.Retrying: "retry", store.Dead: "dead"}[e.Place], string(e.Payload))
	}
}

// What cannot be read goes to the dead set as it is, as it does in Ruby. Nothing else
// is made of it.
func TestUnreadablePayloadsAreBuriedAsTheyAre(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.start(ebb.Config{}, func(process *ebb.Process) { (&runs{}).handle(process, nil, "PushJob") })
	for name, payload := range map[string]string{
		"no JSON":       "not json",
		"cut off":       `{"class":"PushJob","args":[1`,
		"an array":      `["PushJob"]`,
		"no class":      `{"args":[],"retry":false}`,
		"args a string": `{"class":"PushJob","args":"x","retry":0}`,
		"binary":        "\x00\xff\xfe",
	} {
		p.server.Do("SADD", "queues", "default")
		p.server.Do("LPUSH", "queue:default", payload)
		p.await(name+" in the dead set", func() bool { return p.server.Do("ZRANGE", "dead", "0", "-1") == payload })
		p.server.Do("DEL", "dead")
	}
	if got := p.server.Do("ZCARD", "retry") + p.server.Do("ZCARD", "schedule") + p.server.Do("LLEN", "queue:default"); got != "000" {
		t.Errorf("there is more: %s", got)
	}
}

// A job belongs to the queue it lies in, whatever it says, and whoever goes on with it
// is told so by its payload.
func TestAJobThatLiesElsewhere(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.start(ebb.Config{Queues: []string{"here"}}, func(process *ebb.Process) {
		seen := &runs{}
		seen.handle(process, func(string, int) error { return errors.New("no luck") }, "PushJob")
		seen.handle(process, func(string, int) error { return ebb.Snooze(time.Hour) }, "SnoozeJob")
		seen.handle(process, func(string, int) error { return ebb.Bury(errors.New("no luck")) }, "BuryJob")
	})
	p.server.Do("SADD", "queues", "here")
	n := 0
	for kind, place := range map[string]store.Place{
		"PushJob": store.Retrying, "SnoozeJob": store.Scheduled, "BuryJob": store.Dead, "UnknownJob": store.Scheduled,
	} {
		for said, field := range map[string]string{"nothing": "", "another": `,"queue":"there"`, "no string": `,"queue":7`} {
			n++
			jid := fmt.Sprintf("%024d", n)
			p.server.Do("LPUSH", "queue:here", fmt.Sprintf(`{"class":%q,"args":[],"jid":%q%s}`, kind, jid, field))
			e, job := p.in(place, jid)
			if job.Queue != "here" || e.Queue != "here" {
				t.Errorf("%s that says %s is of the queue %q in %s", kind, said, e.Queue, e.Payload)
			}
		}
	}
}

func TestGoldenProcesses(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	const payload = `{"class":"OkJob","args":[1],"jid":"46b06f2ee5da42f8e0b7076f","queue":"default","created_at":1795289764512,"enqueued_at":1795289764512}`
	work, err := json.Marshal(map[string]any{"queue": "default", "payload": payload, "run_at": 1795289641})
	p.must(err)
	for version, suffix := range map[string]string{"v6": ":workers", "v7": ":work", "v8": ":work"} {
		info, err := os.ReadFile("testdata/" + version + "-process.json")
		p.must(err)
		var own struct{ Identity, Version string }
		p.must(json.Unmarshal(info, &own))
		p.server.Do("SADD", "processes", own.Identity)
		fields := []string{"HSET", own.Identity, "info", strings.TrimSpace(string(info)), "busy", "1", "beat", strconv.FormatInt(time.Now().Unix(), 10) + ".25",
			"rtt_us", "147", "quiet", "false", "rss", "30412"}
		if version == "v8" {
			fields = append(fields, "concurrency", "2")
		}
		p.server.Do(fields...)
		p.server.Do("HSET", own.Identity+suffix, "8c0", string(work))
	}
	processes, err := p.client.Store().Processes(t.Context())
	p.must(err)
	if len(processes) != 3 {
		t.Fatalf("%d processes: %+v", len(processes), processes)
	}
	for _, q := range processes {
		if q.Tag != "ebbtest" || q.Host != "vm" || q.Concurrency != 2 || q.RSS != 30412<<10 || !slices.Equal(q.Labels, []string{"lab1"}) || q.State != "running" {
			t.Errorf("%s is shown as %+v", q.ID, q)
		}
		var queues []string
		for _, g := range q.Groups {
			for _, share := range g.Queues {
				queues = append(queues, share.Queue)
			}
		}
		slices.Sort(queues)
		if diff := cmp.Diff([]string{"critical", "default", "low"}, queues); diff != "" {
			t.Errorf("%s: queues %s", q.ID, diff)
		}
		if len(q.Busy) != 1 || q.Busy[0].Kind != "OkJob" || string(q.Busy[0].Payload) != payload || q.Busy[0].Since.Unix() != 1795289641 {
			t.Errorf("%s runs %+v", q.ID, q.Busy)
		}
	}
}
