package fleet

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/wire"
)

func queue(name string, waiting int64, waited float64) store.Queue {
	return store.Queue{Name: name, Waiting: waiting, Oldest: at(-waited)}
}

func takes(p store.Process, queues ...string) store.Process {
	g := store.Group{Concurrency: 5}
	for _, q := range queues {
		g.Queues = append(g.Queues, store.Share{Queue: q})
	}
	p.Groups, p.Concurrency = []store.Group{g}, 5
	return p
}

func TestSentence(t *testing.T) {
	t.Parallel()
	works := takes(running("host-1:7:a", "v1", -99), "mail")
	quiet := works
	quiet.State = "quiet"
	warned := works
	warned.Warnings = []string{"runs under sh -c: TERM will not arrive"}
	balanced := store.Books{Queue: "mail", Accepted: 5, Fetched: 4, Done: 4, Waiting: 1}
	custody, arrivals, both, twice := balanced, balanced, balanced, balanced
	custody.Fetched += 2
	arrivals.Accepted++
	both.Fetched, both.Accepted = both.Fetched+1, both.Accepted+1
	twice.Waiting++
	shared := arrivals
	shared.Shared = true
	for name, c := range map[string]struct {
		p    Picture
		want string
	}{
		"empty":             {Picture{}, "Nothing is here yet"},
		"well":              {Picture{Processes: []store.Process{works}, Queues: []store.Queue{queue("mail", 1, 2)}, Stats: store.Stats{Books: []store.Books{balanced}}}, "All is well · every accepted job accounted for (balance 0)"},
		"custody":           {Picture{Stats: store.Stats{Books: []store.Books{custody}}}, "2 jobs unaccounted for"},
		"arrivals":          {Picture{Stats: store.Stats{Books: []store.Books{arrivals}}}, "1 job unaccounted for"},
		"one job in both":   {Picture{Stats: store.Stats{Books: []store.Books{both}}}, "1 job unaccounted for"},
		"one too many":      {Picture{Stats: store.Stats{Books: []store.Books{twice}}}, "The books do not balance: 1 job too many"},
		"a set was emptied": {Picture{Stats: store.Stats{Books: []store.Books{{Queue: "mail", Accepted: 3, Retrying: 3}}}}, "3 jobs unaccounted for"},
		"Ruby took from a set": {Picture{Processes: []store.Process{works}, Stats: store.Stats{Retrying: 1, Books: []store.Books{{Queue: "mail", Accepted: 3, Retrying: 3, Shared: true}}}},
			"All is well · every job that was fetched is accounted for"},
		"Ruby pushes":  {Picture{Processes: []store.Process{works}, Stats: store.Stats{Books: []store.Books{shared}}}, "All is well · every job that was fetched is accounted for"},
		"nobody lives": {Picture{Queues: []store.Queue{queue("mail", 12, 2)}}, "Nobody works: 12 jobs wait, no process lives"},
		"one lapsed":   {Picture{Processes: []store.Process{lapsed(works, 0)}, Queues: []store.Queue{queue("mail", 1, 2)}}, "Nobody works: 1 job waits, no process lives"},
		"another queue": {Picture{Processes: []store.Process{works}, Queues: []store.Queue{queue("mail", 1, 2), queue("late", 7, 2)}},
			"Nobody works late: 7 jobs wait"},
		"quiet takes nothing": {Picture{Processes: []store.Process{quiet}, Queues: []store.Queue{queue("mail", 7, 2), queue("late", 7, 2)}},
			"Nobody works 2 queues: 14 jobs wait"},
		"paused is meant to wait": {Picture{Processes: []store.Process{works}, Queues: []store.Queue{{Name: "late", Waiting: 7, Paused: true}}},
			"All is well · every accepted job accounted for (balance 0)"},
		"a warning": {Picture{Processes: []store.Process{warned}}, "1 thing needs you · every accepted job accounted for (balance 0)"},
	} {
		c.p.At = at(0)
		c.p.Balance = BalanceOf(c.p.Stats)
		if got := c.p.Sentence(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestNeedsAreRanked(t *testing.T) {
	t.Parallel()
	works := takes(running("host-1:7:a", "v2", -99), "mail", "slow")
	works.Warnings = []string{"runs under sh -c: TERM will not arrive"}
	second := works
	second.ID = "host-1:8:b"
	p := Picture{
		At: at(0), Balance: Balance{Missing: 2}, Processes: []store.Process{works, second},
		Store:  store.Description{Warnings: []string{"maxmemory-policy is allkeys-lru: jobs may be evicted"}},
		Queues: []store.Queue{queue("mail", 1, 2), queue("slow", 4, 720), queue("late", 7, 5)},
		Stops: []store.StopReport{vanished("host-2:5:c", "v1", -60, -50, "rescued"), vanished("host-2:6:c", "v1", -60, -55), vanished("host-2:1:d", "v0", -90000, -90000),
			stopped("host-3:1:d", "v1", -100, -90)},
		Marks:  []store.Mark{{At: at(-9000), Release: "v1"}, {At: at(-99), Release: "v2"}},
		Errors: []Group{{ID: "old", Class: "Old", First: at(-100), Retrying: 9}, {ID: "new", Class: "Stripe::CardError", Kind: "InvoiceJob", First: at(-50), Retrying: 212, Dead: 3}},
	}
	want := []Need{
		{"✕", "2 jobs unaccounted for", "the books do not balance", "books", ""},
		{"✕", "2 of v1 vanished", "gone without a TERM, 50 s ago", "stop", "host-2:5:c"},
		{"✕", "InvoiceJob  Stripe::CardError", "212 in retry, 3 dead, since v2", "error", "new"},
		{"✕", "late", "nobody works this queue: 7 jobs wait", "queue", "late"},
		{"▲", "slow", "its oldest job has waited 12 min", "queue", "slow"},
		{"▲", "2 processes", "runs under sh -c: TERM will not arrive", "process", "host-1:7:a"},
		{"▲", "the store", "maxmemory-policy is allkeys-lru: jobs may be evicted", "store", ""},
	}
	if diff := cmp.Diff(want, p.Needs()); diff != "" {
		t.Error(diff)
	}
}

// TestLookSettles reads a store whose books are read while a job is half way, and one
// that has lost a job.
func TestLookSettles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wrong int // looks at which the books are out
		want  int64
	}{"at once": {0, 0}, "half way": {looks - 1, 0}, "for good": {1 << 30, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &unsettled{Store: memstore.New(memstore.Options{}), wrong: c.wrong}
				defer s.Close()
				p, err := Look(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				if p.Balance.Missing != c.want {
					t.Errorf("missing %d, want %d", p.Balance.Missing, c.want)
				}
				if len(p.Stops) != MaxStops {
					t.Errorf("it read %d stops", len(p.Stops))
				}
				ctx, end := context.WithCancel(t.Context())
				end()
				if _, err := Look(ctx, &unsettled{Store: s.Store, wrong: 1 << 30}); err == nil {
					t.Error("it went on after its context had ended")
				}
			})
		})
	}
}

type unsettled struct {
	store.Store
	wrong, looked int
}

func (s *unsettled) Stats(context.Context) (store.Stats, error) {
	s.looked++
	b := store.Books{Queue: "mail", Fetched: 1, Done: 1, Accepted: 1}
	if s.looked <= s.wrong {
		b.Done, b.Fetched = 0, 1
	}
	return store.Stats{Books: []store.Books{b}}, nil
}

// Stops has more than anybody reads.
func (s *unsettled) Stops(context.Context) iter.Seq2[store.StopReport, error] {
	return func(yield func(store.StopReport, error) bool) {
		for range 10 * MaxStops {
			if !yield(store.StopReport{ID: "h:1:a", Ended: time.Now()}, nil) {
				return
			}
		}
	}
}

func TestGroupOf(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"timeout after 30 s":                                 "timeout after # s",
		"timeout after 1.5s\nat line 7":                      "timeout after #s",
		`no such user "ada" for 'order 7' today`:             "no such user “…” for “…” today",
		"can't connect, won't retry":                         "can't connect, won't retry",
		"row 6ba7b810-9dad-11d1-80b4-00c04fd430c8 is locked": "row # is locked",
		"at 0xc000123abc in 4d8cca886e683d2d2a34bb68":        "at # in #",
		"No such customer: cus_9Kd2Xx":                       "No such customer: #",
		"dial tcp 10.0.0.7:6379: connection refused":         "dial tcp #: connection refused",
		"  deadbeef   and  feedback  ":                       "deadbeef and feedback",
		"bad \xff byte":                                      "bad � byte",
	} {
		if _, got := GroupOf(&wire.Job{ErrorClass: "E", ErrorMessage: message}); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = 'x'
	}
	if _, got := GroupOf(&wire.Job{ErrorMessage: string(long)}); len(got) != maxMessage {
		t.Errorf("a long message tells groups apart by %d bytes", len(got))
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	failed := func(jid, class, message string, place store.Place, at string) store.Entry {
		return store.Entry{Place: place, Payload: []byte(`{"class":"InvoiceJob","jid":"` + jid + `","args":[],"error_class":"` + class + `","error_message":"` + message + `","failed_at":` + at + `}`)}
	}
	broken := errors.New("the store is gone")
	entries := func(yield func(store.Entry, error) bool) {
		for _, e := range []store.Entry{
			failed("1", "CardError", "declined 7771", store.Retrying, "1000"),
			failed("2", "Timeout", "after 30 s", store.Retrying, "1000"),
			failed("3", "CardError", "declined 7772", store.Dead, "3000"),
			{Payload: []byte("no job")}, {Payload: []byte(`{"class":"A","jid":"4","args":[]}`)},
		} {
			if !yield(e, nil) {
				return
			}
		}
		yield(store.Entry{}, broken)
	}
	marks := []store.Mark{{At: time.Unix(500, 0), Release: "v1"}, {At: time.Unix(2000, 0), Release: "v2"}}
	got, err := Groups(entries, marks)
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	want := []Group{
		{Class: "CardError", Message: "declined #", Count: 2, Retrying: 1, Dead: 1, Release: "v1", Kind: "InvoiceJob", JID: "3"},
		{Class: "Timeout", Message: "after # s", Count: 1, Retrying: 1, Release: "v1", Kind: "InvoiceJob", JID: "2"},
	}
	for i := range want {
		want[i].ID = GroupID(want[i].Class, want[i].Message)
		want[i].First, want[i].Last = got[i].First, got[i].Last
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if first, last := got[0].First.Unix(), got[0].Last.Unix(); first != 1000 || last != 3000 {
		t.Errorf("seen from %d to %d", first, last)
	}
	if got[0].Where() != "1 in retry, 1 dead" {
		t.Errorf("it is %q", got[0].Where())
	}
}

// TestSampleErrorsIsBounded counts what a sample reads of large sets.
func TestSampleErrorsIsBounded(t *testing.T) {
	t.Parallel()
	s := &endless{}
	if _, err := SampleErrors(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	want := []store.Query{{Place: store.Retrying, Limit: sample}, {Place: store.Dead, Newest: true, Limit: sample}}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Error(diff)
	}
}

type endless struct {
	store.Inspector
	asked []store.Query
}

func (s *endless) Jobs(_ context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	s.asked = append(s.asked, q)
	return func(func(store.Entry, error) bool) {}
}
