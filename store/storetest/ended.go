package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ebbjobs/ebb/store"
)

var endedTests = []test{
	{"shows jobs as they were told, the latest first", func(s *suite) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
		full := store.Ended{
			JID: "b", Kind: "Größe", Queue: "r", By: "host:1:x", Release: "r1", Attempt: 3,
			Created: at, Ready: at.Add(time.Second), Began: at.Add(time.Minute), At: at.Add(time.Hour), Outcome: store.Discarded,
			Log: json.RawMessage(`[{"what":"interrupted","note":"ä"}]`),
		}
		bare := store.Ended{JID: "c", Kind: "Test", Queue: "q", Attempt: 1, At: at.Add(2 * time.Hour), Outcome: store.Expired}
		p := s.process()
		p.tell(left(1, "a")[0], store.Numbered{Number: 2, Ended: full})
		s.must(p.leave(store.Farewell{Ended: []store.Numbered{{Number: 3, Ended: bare}}}))
		s.equal(s.allEnded(""), []store.Ended{bare, full, left(1, "a")[0].Ended})
	}},
	{"finds those of one jid", func(s *suite) {
		s.process().tell(left(1, "a", "b", "a", "größe")...)
		s.process().tell(left(1, "a")...)
		s.equal(len(s.allEnded("a")), 3)
		s.equal(len(s.allEnded("größe")), 1)
		s.equal(len(s.allEnded("nobody")), 0)
	}},
	{"passes over what it has seen", func(s *suite) {
		p, all := s.process(), left(1, "a", "b", "c", "d")
		p.tell(all[:2]...)
		p.tell(all[:2]...)
		p.tell(all[:3]...)
		f, call := store.Farewell{ID: p.id, Ended: all[1:], Report: store.StopReport{ID: p.id}}, p.verdict()
		for range 2 {
			s.must(p.Leave(s.Context(), call, f))
		}
		other := s.process()
		other.tell(left(1, "e")...) // whose numbers are its own
		other.tell(left(7, "f")...) // it has left out some
		s.equal(s.endedJIDs(""), []string{"f", "e", "d", "c", "b", "a"})
	}},
	{"passes over what it has seen of a process that was rescued", func(s *suite) {
		p, all := s.process(), left(1, "a", "b")
		p.tell(all...)
		s.rescueAll(s.gone(p, store.Witnessed))
		p.tell(all...)
		s.equal(s.endedJIDs(""), []string{"b", "a"})
	}},
	{"keeps the latest", func(s *suite) {
		p := s.process()
		jids := numbered("j", store.MaxEnded+1500)
		for i := 0; i < len(jids); i += store.MaxBatch {
			p.tell(left(uint64(i+1), jids[i:min(i+store.MaxBatch, len(jids))]...)...)
		}
		slices.Reverse(jids)
		got := s.endedJIDs("")
		s.equal([]any{len(got), got[0], got[len(got)-1]}, []any{store.MaxEnded, jids[0], jids[store.MaxEnded-1]})
		s.equal(len(s.allEnded(jids[len(jids)-1])), 0)
		n := 0
		for _, err := range s.st.Ended(s.Context(), "") {
			s.must(err)
			if n++; n == 3 {
				break
			}
		}
		p.tell(left(uint64(len(jids)+1), "last")...) // nothing is locked
		s.equal(s.endedJIDs("last"), []string{"last"})
	}},
}

// left are jobs that have finished, numbered from first on.
func left(first uint64, jids ...string) []store.Numbered {
	all := make([]store.Numbered, len(jids))
	for i, jid := range jids {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(first+uint64(i)) * time.Second)
		all[i] = store.Numbered{Number: first + uint64(i), Ended: store.Ended{
			JID: jid, Kind: "Test", Queue: "q", By: "host:1:x", Release: fmt.Sprint("r", len(jid)), Attempt: 1, Began: at.Add(-time.Second), At: at,
		}}
	}
	return all
}

// tell beats and names jobs that have ended.
func (p *process) tell(ended ...store.Numbered) {
	p.s.Helper()
	pr := p.presence()
	pr.Ended = ended
	_, err := p.Beat(p.s.Context(), pr, aliveFor)
	p.s.must(err)
}

func (s *suite) allEnded(jid string) (all []store.Ended) {
	s.Helper()
	for e, err := range s.st.Ended(s.Context(), jid) {
		s.must(err)
		all = append(all, e)
	}
	return all
}

func (s *suite) endedJIDs(jid string) (jids []string) {
	s.Helper()
	for _, e := range s.allEnded(jid) {
		jids = append(jids, e.JID)
	}
	return jids
}
