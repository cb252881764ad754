package storetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/ebbjobs/ebb/store"
)

// oddQueues are names that a driver may trip over.
var oddQueues = []string{
	"default", "a:b", "a b", "{x}", "{", "}", "q*?[a]", "größe", "キュー", `back\slash`, `"quoted"`, "'; DROP TABLE job; --",
	"%s", "a/b", "UPPER", strings.Repeat("long", 60),
}

// oddJobs are jobs of queue q, by jid, that come back byte for byte.
func oddJobs() map[string][]byte {
	big := bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16)
	return map[string][]byte{
		"plain":   payload("plain", "q", 0),
		"spaced":  []byte("{ \"jid\" : \"spaced\" ,\n\t\"queue\":\"q\", \"class\":\"T\", \"args\":[ 1.0, 1e3, 12345678901234567890 ] }"),
		"unicode": []byte(`{"class":"T","args":["ä\u00e4😀\u2028"],"queue":"q","jid":"unicode"}`),
		"html":    []byte(`{"class":"T","args":["<a href='x'>&</a>"],"queue":"q","jid":"html"}`),
		"200 KiB": fmt.Appendf(nil, `{"class":"T","args":["%s"],"queue":"q","jid":"200 KiB"}`, big),
	}
}

// noJobs are what others may have pushed. Nobody can read them, and they are not
// lost for that.
func noJobs() map[string][]byte {
	return map[string][]byte{
		"no json":   []byte("not json"),
		"no object": []byte("[1,2]"),
		"zero byte": []byte("a\x00b\x00"),
		"no text":   {0xff, 0xfe, 0x80, 0x00, '\r', '\n', 0x1f},
	}
}

var pushTests = []test{
	{"keeps the order of one queue", func(s *suite) {
		p := s.process()
		s.push("q", "a", "b", "c")
		s.push("q", "d")
		s.push("other", "x")
		s.push("q", "e")
		s.want(store.Ready, "q", "a", "b", "c", "d", "e")
		s.equal(jids(p.take(5, "q")), []string{"a", "b", "c", "d", "e"})
		s.equal(jids(p.take(1, "other")), []string{"x"})
	}},
	{"takes a batch of several queues", func(s *suite) {
		results, err := s.st.Push(s.Context(), s.me.call(store.LanePush), item("a", "q"), item("b", "r"), item("c", "q"))
		s.must(err)
		s.equal(results, make([]store.Result, 3))
		s.want(store.Ready, "q", "a", "c")
		s.want(store.Ready, "r", "b")
	}},
	{"keeps bytes", func(s *suite) {
		p := s.process()
		odd := oddJobs()
		maps.Copy(odd, noJobs())
		for name, want := range odd {
			_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "q", Kind: "T", Payload: want})
			s.must(err)
			if e := s.entries(store.Query{Place: store.Ready, Queue: "q"}); len(e) != 1 || !bytes.Equal(e[0].Payload, want) {
				s.Errorf("%s: read back as %.100q", name, e)
			}
			jobs := p.take(1, "q")
			if !bytes.Equal(jobs[0].Payload, want) {
				s.Errorf("%s: fetched as %.100q", name, jobs[0].Payload)
			}
			p.ack(jobs...)
		}
	}},
	{"does not keep the caller's slice", func(s *suite) {
		it := item("a", "q")
		want := bytes.Clone(it.Payload)
		_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), it)
		s.must(err)
		clear(it.Payload)
		s.equal(string(s.process().take(1, "q")[0].Payload), string(want))
	}},
	{"of nothing does nothing", func(s *suite) {
		results, err := s.st.Push(s.Context(), s.me.call(store.LanePush))
		s.must(err)
		s.equal(len(results), 0)
	}},
	{"keeps queues apart whatever their names", func(s *suite) {
		p := s.process()
		for i, q := range oddQueues {
			s.push(q, fmt.Sprint("j", i))
		}
		for i, q := range oddQueues {
			job := p.take(1, q)[0]
			s.equal(jidOf(job.Payload), fmt.Sprint("j", i))
			s.equal(job.Queue, q)
			s.equal(s.book(q).Held, int64(1))
		}
	}},
	{"repeated makes no second copy", func(s *suite) {
		call, its := s.me.call(store.LanePush), items("q", "a", "b")
		first, err := s.st.Push(s.Context(), call, its...)
		s.must(err)
		s.equal(first, []store.Result{{}, {}})
		again, err := s.st.Push(s.Context(), call, its...)
		s.must(err)
		s.equal(again, []store.Result{{Repeated: true}, {Repeated: true}})
		s.want(store.Ready, "q", "a", "b")
	}},
	{"repeated after its jobs are gone brings none back", func(s *suite) {
		p := s.process()
		call, its := s.me.call(store.LanePush), items("q", "a", "b")
		for range 2 {
			_, err := s.st.Push(s.Context(), call, its...)
			s.must(err)
			jobs := p.fetch(10, "q")
			p.ack(jobs...)
		}
		s.equal(s.book("q").Done, int64(2))
		s.want(store.Ready, "q")
	}},
	{"late copy of an older call is refused", func(s *suite) {
		older := s.me.call(store.LanePush)
		_, err := s.st.Push(s.Context(), older, item("a", "q"))
		s.must(err)
		s.push("q", "b")
		_, err = s.st.Push(s.Context(), older, item("a", "q"))
		s.wantErr(err, store.ErrStale)
		s.want(store.Ready, "q", "a", "b")
	}},
	{"lanes and boots do not know each other's numbers", func(s *suite) {
		other := s.stranger()
		for i, call := range []store.Call{
			{By: s.me.id, Lane: store.LanePush, Seq: 7}, {By: s.me.id, Lane: store.LanePush + 1, Seq: 7},
			{By: s.me.id, Lane: store.LanePush + 40, Seq: 3}, {By: other.id, Lane: store.LanePush, Seq: 7},
		} {
			results, err := s.st.Push(s.Context(), call, item(fmt.Sprint("j", i), "q"))
			s.must(err)
			s.equal(results, []store.Result{{}})
		}
		s.want(store.Ready, "q", "j0", "j1", "j2", "j3")
	}},
	{"without a number is not remembered", func(s *suite) {
		for range 2 {
			_, err := s.st.Push(s.Context(), store.Call{By: s.me.id, Lane: store.LanePush}, item("a", "q"))
			s.must(err)
		}
		_, err := s.st.Push(s.Context(), store.Call{}, item("a", "q"))
		s.must(err)
		s.want(store.Ready, "q", "a", "a", "a")
	}},
	{"of the same jid makes two jobs", func(s *suite) {
		p := s.process()
		s.push("q", "a", "a")
		jobs := p.take(2, "q")
		if jobs[0].Token == jobs[1].Token {
			s.Fatalf("one token for both: %q", jobs[0].Token)
		}
		p.ack(jobs[0])
		s.want(store.Keeping, "", "a")
		p.ack(jobs[1])
		s.equal(s.book("q").Done, int64(2))
	}},
	{"carries MaxBatch", func(s *suite) {
		want := numbered("j", store.MaxBatch)
		s.push("q", want...)
		s.want(store.Ready, "q", want...)
	}},
	{"of more than MaxBatch is refused whole", func(s *suite) {
		_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), items("q", numbered("j", store.MaxBatch+1)...)...)
		if err == nil {
			s.Fatal("accepted")
		}
		s.equal(len(s.everywhere()), 0)
	}},
	{"cancelled can be repeated", func(s *suite) {
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		call := s.me.call(store.LanePush)
		s.st.Push(ctx, call, item("a", "q"))
		_, err := s.st.Push(s.Context(), call, item("a", "q"))
		s.must(err)
		s.want(store.Ready, "q", "a")
	}},
	{"from many at once loses none", func(s *suite) {
		var wg sync.WaitGroup
		const pushers, each = 8, 25
		for i := range pushers {
			by := s.me
			if i%2 == 1 { // half of them share a client
				by = s.stranger()
			}
			wg.Go(func() {
				for n := range each {
					call := store.Call{By: by.id, Lane: store.LanePush + i, Seq: uint64(n + 1)}
					if _, err := by.Push(s.Context(), call, item(fmt.Sprintf("%d-%d", i, n), "q")); err != nil {
						s.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s.equal(len(s.everywhere()), pushers*each)
		s.equal(s.book("q").Accepted, int64(pushers*each))
	}},
}
