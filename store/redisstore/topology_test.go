package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
)

// Queues of different servers, in one process and in one call.
func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t, 3)
	url := servers[0].URL() + "?layout=cluster"
	var queues []string
	for i := range 12 {
		queues = append(queues, fmt.Sprint("q", i))
	}
	b := start(t, url, queues...)
	var all []store.Item
	for _, q := range queues {
		all = append(all, items(q, q+"-1", q+"-2")...)
	}
	ctx := t.Context()
	_, err := b.Push(ctx, b.call(store.LanePush), all...)
	b.must(err)
	used := 0
	for _, s := range servers {
		if s.Do("DBSIZE") != "0" {
			used++
		}
	}
	if used != 3 {
		t.Errorf("%d of 3 servers hold something", used)
	}
	var jobs []store.Held
	for len(jobs) < len(all) {
		jobs = append(jobs, b.fetch(7)...)
	}
	// A third goes to a queue on another server, in three ways.
	var away, dones = 0, []store.Done{}
	for i, j := range jobs {
		to := queues[(i+5)%len(queues)]
		l := store.Later{Token: j.Token, Queue: to, Payload: []byte(strings.Replace(string(j.Payload), j.Queue, to, 1))}
		switch i % 6 {
		case 0:
			b.must(b.Requeue(ctx, b.call(store.LaneVerdict), l))
		case 1:
			b.must(b.Retry(ctx, b.call(store.LaneVerdict), l))
		default:
			dones = append(dones, store.Done{Token: j.Token})
			continue
		}
		away++
	}
	b.must(b.Ack(ctx, b.call(store.LaneVerdict), dones...))
	for got := 0; got < away; {
		_, _, err := b.Promote(ctx, store.Promotion{By: b.id})
		b.must(err)
		again, _, err := b.Fetch(ctx, b.call(store.LaneFetch), b.plan(), 10, 50*time.Millisecond)
		b.must(err)
		got += len(again)
		for _, j := range again {
			b.must(b.Ack(ctx, b.call(store.LaneVerdict), store.Done{Token: j.Token}))
		}
	}
	st, err := b.Stats(ctx)
	b.must(err)
	if st.Ready+st.Held+st.Scheduled+st.Retrying+st.Dead != 0 || st.Processed != int64(len(all)) {
		t.Errorf("%+v", st)
	}
	b.balanced()
}

// Whoever dies over a move to another queue leaves it in the outbox, and the
// promoter brings it on.
func TestOutboxOfTheDead(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Cluster())
	b := start(t, server.URL()+"?layout=cluster", "q", "r")
	payload := string(items("r", "a")[0].Payload)
	server.Do("HINCRBY", "ebb:{queue:q}:books", "accepted", "1")
	server.Do("HINCRBY", "ebb:{queue:q}:books", "moved", "1")
	server.Do("HSET", "ebb:{queue:q}:outbox", "nonce", "0 f 0 1 r"+payload)
	for range 2 { // the second time somebody died before it was taken out of the outbox
		_, _, err := b.Promote(t.Context(), store.Promotion{By: b.id})
		b.must(err)
		if got := server.Do("LRANGE", "queue:r", "0", "-1"); got != payload {
			t.Errorf("in the queue: %s", got)
		}
		if got := server.Do("HLEN", "ebb:{queue:q}:outbox"); got != "0" {
			t.Errorf("%s in the outbox", got)
		}
		server.Do("HSET", "ebb:{queue:q}:outbox", "nonce", "0 f 0 1 r"+payload)
	}
	b.balanced()
}

// A failover behind Sentinel is an outage that ends by itself.
func TestSentinel(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	sentinel := redistest.StartSentinel(t, "main", primary)
	b := start(t, "redis-sentinel://"+sentinel.Addr+"/main/0", "q")
	b.push("q", "a", "b")
	jobs := b.fetch(1)
	eventually(t, "replication", func() bool { return strings.Contains(replica.Do("HGETALL", "ebb:{queue:q}:books"), "fetched") })
	primary.Kill()
	call := b.call(store.LaneVerdict)
	eventually(t, "ack after the failover", func() bool {
		return b.Ack(t.Context(), call, store.Done{Token: jobs[0].Token}) == nil
	})
	orders := b.beat()
	if !orders.Reconnected {
		t.Error("a failover is no outage")
	}
	if got := b.fetch(1); len(got) != 1 {
		t.Errorf("fetched %d after the failover", len(got))
	}
	b.balanced()
}
