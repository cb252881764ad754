package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// archived makes a test of stores that can be copied; others pass it.
func archived(run func(s *suite)) func(s *suite) {
	return func(s *suite) {
		if _, ok := s.st.(store.Archiver); ok {
			run(s)
		}
	}
}

// backup is all of the store, as a file.
func (s *suite) backup() []byte {
	s.Helper()
	var w bytes.Buffer
	s.must(s.st.(store.Archiver).Backup(s.Context(), &w))
	return w.Bytes()
}

func (s *suite) restore(backup []byte, replace bool) error {
	return s.restoreFrom(s.Context(), bytes.NewReader(backup), replace)
}

func (s *suite) restoreFrom(ctx context.Context, r io.Reader, replace bool) error {
	return s.st.(store.Archiver).Restore(ctx, r, replace)
}

// whole is all of a store that people can see, but for its processes.
type whole struct {
	Jobs    picture
	Queues  []store.Queue
	Stops   []store.StopReport
	Changes []store.Change
}

func (s *suite) whole() whole {
	s.Helper()
	w := whole{Jobs: s.picture(), Stops: s.stops(), Changes: s.changes()}
	var err error
	w.Queues, err = s.st.Queues(s.Context())
	s.must(err)
	return w
}

// lived is a store in which something of everything has happened. Its process, which
// has one job in hand, has fallen silent.
func (s *suite) lived() (silent *process, w whole) {
	s.Helper()
	silent = s.spread()
	gone := s.process()
	s.push("done", "x", "y", "z")
	jobs := gone.take(3, "done")
	s.must(gone.Ack(s.Context(), gone.verdict(), store.Done{Token: jobs[0].Token}, store.Done{Token: jobs[1].Token, Outcome: store.Expired}))
	s.must(gone.leave(store.Farewell{Back: laters(jobs[2:]), Report: store.StopReport{
		Reason: "SIGTERM", Began: time.Unix(1_700_000_000, 0).UTC(), Notes: []string{"ä"},
		Jobs: []store.Fate{{JID: "z", Kind: "Test", Queue: "done", Fate: "handed back"}},
	}}))
	for name, bytes := range noJobs() {
		_, err := s.st.Push(s.Context(), s.me.call(store.LanePush), store.Item{JID: name, Queue: "bytes", Payload: bytes})
		s.must(err)
	}
	s.push("many", numbered("m", 300)...)
	s.schedule(time.Hour, "many", numbered("n", 300)...)
	s.must(s.st.Pause(s.Context(), "paused", true))
	s.must(s.st.Pause(s.Context(), "bytes", true))
	s.record(store.Change{ID: "clear", Verb: "clear", What: "queue cleared", Done: 3, Began: s.now()})
	s.push("cleared", "a", "b", "c")
	s.delete(undoable("clear"), s.entries(store.Query{Place: store.Ready, Queue: "cleared"})...)
	silent.beat(s.Tick)
	s.pass(2 * s.Tick)
	return silent, s.whole()
}

// refused fails the test unless s refuses the backup with want, and stays as it is.
func (s *suite) refused(what string, backup io.Reader, replace bool, want error) {
	s.Helper()
	before := s.whole()
	if err := s.restoreFrom(s.Context(), backup, replace); err == nil || want != nil && !errors.Is(err, want) {
		s.Errorf("%s: restored with error %v, want %v", what, err, want)
	}
	s.equal(s.whole(), before)
}

var archiveTests = []test{
	{"restored into an empty store is the same store", archived(func(s *suite) {
		s.lived()
		last := s.me.call(store.LanePush)
		_, err := s.st.Push(s.Context(), last, items("cleared", "d")...)
		s.must(err)
		s.delete(store.Undoable{}, s.entries(store.Query{Place: store.Ready, Queue: "cleared"})...)
		before := s.whole()
		backup := s.backup()
		s.equal(s.whole(), before)
		to := s.another()
		s.must(to.restore(backup, false))
		s.equal(to.whole(), before)
		// It goes on where the first one was.
		to.undo("clear", 0, store.Undone{Back: 3})
		to.want(store.Ready, "cleared", "a", "b", "c")
		results, err := to.st.Push(s.Context(), last, items("cleared", "d")...)
		s.must(err)
		s.equal(results, []store.Result{{Repeated: true}})
		p := to.process()
		s.equal(jids(p.take(3, "cleared")), []string{"a", "b", "c"})
	})},
	{"of what a process held is rescued", archived(func(s *suite) {
		silent, _ := s.lived()
		to := s.another()
		s.must(to.restore(s.backup(), false))
		lost := to.gone(&process{id: silent.id}, store.Lapsed)
		s.equal(jids(lost.Jobs), []string{"held"})
		s.equal(to.rescueAll(lost), 1)
		to.want(store.Ready, "q", "held", "ready")
		p := to.process()
		p.ack(p.take(2, "q")...)
	})},
	{"of an empty store is one", archived(func(s *suite) {
		backup := s.backup()
		to := s.another()
		s.must(to.restore(backup, false))
		s.equal(to.whole(), s.whole())
		to.push("q", "a")
		s.must(to.restore(backup, true))
		s.equal(len(to.everywhere()), 0)
	})},
	{"takes the place of all that was there", archived(func(s *suite) {
		_, before := s.lived()
		to := s.another()
		p := to.process()
		to.push("q", "old", "done")
		to.push("other", "other")
		to.schedule(time.Hour, "q", "older")
		p.ack(p.take(1, "q")...)
		to.delete(undoable("c"), to.entries(store.Query{Place: store.Ready, Queue: "other"})...)
		to.record(store.Change{ID: "c", Began: to.now()})
		to.must(to.st.Pause(s.Context(), "other", true))
		to.must(p.leave(store.Farewell{Report: store.StopReport{Reason: "SIGTERM"}}))
		s.must(to.restore(s.backup(), true))
		s.equal(to.whole(), before)
		to.undo("c", 0, store.Undone{})
	})},
	{"is refused while a process works", archived(func(s *suite) {
		s.push("q", "a")
		backup := s.backup()
		to := s.another()
		p := to.process()
		for _, replace := range []bool{false, true} {
			to.refused("a process lives", bytes.NewReader(backup), replace, store.ErrInUse)
		}
		to.must(p.leave(store.Farewell{}))
		s.must(to.restore(backup, false))
		to.want(store.Ready, "q", "a")
	})},
	{"is refused while jobs would be lost", archived(func(s *suite) {
		s.push("q", "a")
		backup := s.backup()
		to := s.another()
		to.push("q", "waits")
		for _, place := range []store.Place{store.Scheduled, store.Retrying, store.Dead, store.Ready} {
			q := store.Query{Place: place}
			if place == store.Ready {
				q.Queue = "q"
			} else {
				to.move(place, store.Pick{Key: to.key(places["ready"], "waits"), Delay: time.Hour})
			}
			to.refused(place.String(), bytes.NewReader(backup), false, store.ErrNotEmpty)
			to.move(store.Ready, store.Pick{Key: to.key(q, "waits")})
		}
		p := to.process()
		p.take(1, "q")
		to.vanish(p)
		to.gone(p, store.Lapsed)
		to.refused("held by the dead", bytes.NewReader(backup), false, store.ErrNotEmpty)
		s.must(to.restore(backup, true))
		to.want(store.Ready, "q", "a")
		s.equal(len(to.everywhere()), 1)
	})},
	{"needs no leave where no jobs are", archived(func(s *suite) {
		s.push("q", "a")
		to := s.another()
		p := to.process()
		to.push("q", "done")
		p.ack(p.take(1, "q")...)
		to.record(store.Change{ID: "c", Began: to.now()})
		to.must(p.leave(store.Farewell{}))
		s.must(to.restore(s.backup(), false))
		s.equal(to.whole(), s.whole())
	})},
	{"that is cut short or damaged changes nothing", archived(func(s *suite) {
		s.lived()
		backup := s.backup()
		to := s.another()
		for _, replace := range []bool{false, true} {
			try := func(what string, bad []byte) {
				s.Helper()
				to.refused(what, bytes.NewReader(bad), replace, nil)
			}
			try("nothing", nil)
			try("no backup", []byte("{\"jid\":\"a\"}\n{\"jid\":\"b\"}\n"))
			try("more behind it", append(bytes.Clone(backup), backup...))
			for i := range 9 {
				at := i * (len(backup) - 1) / 8
				try(fmt.Sprintf("cut at %d of %d", at, len(backup)), backup[:at])
				bad := bytes.Clone(backup)
				bad[at] ^= 0x20
				try(fmt.Sprintf("damaged at %d of %d", at, len(backup)), bad)
			}
			to.push("q", "old")
			to.record(store.Change{ID: "c", Began: to.now()})
		}
		broken := io.MultiReader(bytes.NewReader(backup[:len(backup)/2]), failing{})
		to.refused("a reader that fails", broken, true, errLost)
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		before := to.whole()
		if err := to.restoreFrom(ctx, bytes.NewReader(backup), true); err == nil {
			s.Error("restored although it was called off")
		}
		s.equal(to.whole(), before)
		s.must(to.restore(backup, true))
		s.equal(to.whole(), s.whole())
	})},
	{"ends with its writer", archived(func(s *suite) {
		s.lived()
		n := len(s.backup())
		to := s.another()
		for _, left := range []int{0, n / 2} {
			w := &filling{left: left}
			s.wantErr(s.st.(store.Archiver).Backup(s.Context(), w), errLost)
			to.refused("what was written until then", &w.Buffer, false, nil)
		}
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		if err := s.st.(store.Archiver).Backup(ctx, io.Discard); err == nil {
			s.Error("a backup that was called off succeeded")
		}
	})},
	{"is of one moment while others go on", archived(func(s *suite) {
		s.push("q", numbered("a", 200)...)
		p, pusher, promoter := s.process(), s.process(), s.process()
		ctx, stop := context.WithCancel(s.Context())
		var wg sync.WaitGroup
		var pushed int
		wg.Go(func() {
			for ; ctx.Err() == nil && pushed < 2000; pushed++ {
				its := items("w", numbered(fmt.Sprintf("%04d.", pushed), 3)...)
				if _, err := pusher.Push(s.Context(), pusher.call(store.LanePush), its...); err != nil {
					s.Error(err)
				}
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil {
				jobs, _, err := p.Fetch(s.Context(), p.call(store.LaneFetch), strict("q"), 3, 0)
				if len(jobs) > 1 {
					err = errors.Join(p.Retry(s.Context(), p.verdict(), laters(jobs[1:])...), p.Ack(s.Context(), p.verdict(), dones(jobs[:1])...))
				}
				if err != nil {
					s.Error(err)
				}
				promoter.Promote(s.Context(), store.Promotion{By: promoter.id})
			}
		})
		var backups [][]byte
		for range 3 {
			backups = append(backups, s.backup())
		}
		stop()
		wg.Wait()
		to := s.another()
		for _, backup := range backups {
			s.must(to.restore(backup, true))
			to.check()
			var want []string
			there := to.in(store.Ready, "w")
			for n := range len(there) / 3 {
				want = append(want, numbered(fmt.Sprintf("%04d.", n), 3)...)
			}
			if !slices.Equal(there, want) {
				s.Errorf("%d jobs of %d pushes of three, not the first ones: %v", len(there), pushed, there)
			}
			for jid, places := range to.everywhere() {
				if len(places) != 1 {
					s.Errorf("%s is in %v", jid, places)
				}
			}
		}
	})},
}

// failing is a reader whose source is gone.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errLost }

// filling is a disk with so many bytes left.
type filling struct {
	bytes.Buffer
	left int
}

func (f *filling) Write(b []byte) (int, error) {
	n, _ := f.Buffer.Write(b[:min(len(b), f.left)])
	if f.left -= n; n < len(b) {
		return n, errLost
	}
	return n, nil
}
