package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

type greeting struct {
	UserID int64
	Locale string `ebb:"optional"`
}

// Whatever fails is not tried again before the test has looked at it.
var greet = ebb.Define[greeting]("Greet", ebb.Backoff(func(int, error) time.Duration { return time.Hour }))

// raw puts a payload into the queue "default" in the way of somebody who checks
// nothing.
func (s *site) raw(payload string) {
	s.Helper()
	if s.server != nil {
		s.server.Do("SADD", "queues", "default")
		s.server.Do("LPUSH", "queue:default", payload)
		return
	}
	_, err := s.client.Store().Push(s.Context(), store.Call{}, store.Item{JID: "raw", Queue: "default", Kind: "Raw", Payload: []byte(payload)})
	s.must(err)
}

func payloads(entries []store.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, string(e.Payload))
	}
	return all
}

// clear forgets what failed.
func (s *site) clear() {
	s.Helper()
	for _, place := range []store.Place{store.Dead, store.Retrying} {
		for _, e := range s.jobs(store.Query{Place: place}) {
			n, err := s.client.Store().Delete(s.Context(), store.Undoable{}, store.Pick{Key: e.Key})
			s.must(err)
			if n != 1 {
				s.Errorf("%d deleted in %v", n, place)
			}
		}
	}
}

// badInput is what somebody who checks nothing puts into the queue, and what is to
// become of it.
type badInput struct {
	name   string
	queue  []string
	ran    int      // handlers begun
	buried []string // unread, with what cause in the log
	// The others failed, with this message, and are tried again or dead.
	message     string
	again, dead int
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	const misfit = "argument 1 (UserID int64) does not fit: JSON string"
	tests := []badInput{
		{name: "cut off JSON", queue: []string{`{"class":"Greet","jid":"a","queue":"default","args":[1`}, buried: []string{"jid=a"}},
		{name: "no JSON", queue: []string{"\x00\xff perform\r\n"}, buried: []string{"payload"}},
		{name: "nothing", queue: []string{""}, buried: []string{"payload"}},
		{name: "an array", queue: []string{`["Greet",1]`}, buried: []string{"object"}},
		{name: "no class", queue: []string{`{"jid":"b","args":[1],"queue":"default"}`}, buried: []string{"class"}},
		{name: "a class that is a number", queue: []string{`{"class":7,"jid":"c","args":[1],"queue":"default"}`}, buried: []string{"class"}},
		{name: "args that are an object", queue: []string{`{"class":"Greet","jid":"d","args":{"UserID":1},"queue":"default"}`}, buried: []string{"args"}},
		{name: "args that are null", queue: []string{`{"class":"Greet","jid":"e","args":null,"queue":"default"}`}, buried: []string{"args"}},
		{
			name:   "the same twice, unreadable",
			queue:  []string{`{"class":"Greet"`, `{"class":"Greet"`},
			buried: []string{"payload", "payload"},
		},
		{
			name: "the same twice",
			queue: []string{
				`{"class":"Greet","jid":"f","queue":"default","args":[1],"retry":true}`,
				`{"class":"Greet","jid":"f","queue":"default","args":[1],"retry":true}`,
			},
			ran: 2,
		},
		{
			name: "the same twice, of the wrong type",
			queue: []string{
				`{"class":"Greet","jid":"g","queue":"default","args":["1"],"retry":true,"failed_at":1.5,"retry_count":0}`,
				`{"class":"Greet","jid":"g","queue":"default","args":["1"],"retry":true,"failed_at":1.5,"retry_count":0}`,
			},
			message: misfit, again: 2,
		},
		{name: "an argument of the wrong type", queue: []string{`{"class":"Greet","jid":"h","queue":"default","args":["1"],"retry":true}`}, message: misfit, again: 1},
		{name: "which is not to be tried again", queue: []string{`{"class":"Greet","jid":"i","queue":"default","args":["1"],"retry":0}`}, message: misfit, dead: 1},
		{name: "which is to be forgotten", queue: []string{`{"class":"Greet","jid":"j","queue":"default","args":["1"],"retry":false}`}},
		{name: "a number that does not fit", queue: []string{`{"class":"Greet","jid":"k","queue":"default","args":[9223372036854775808]}`}, message: "argument 1 (UserID int64) does not fit: JSON number", again: 1},
		{name: "the second argument", queue: []string{`{"class":"Greet","jid":"l","queue":"default","args":[1,2]}`}, message: "argument 2 (Locale string) does not fit: JSON number", again: 1},
		{name: "no argument", queue: []string{`{"class":"Greet","jid":"m","queue":"default","args":[]}`}, message: "argument 1 (UserID int64) is missing", again: 1},
		{name: "one argument too many", queue: []string{`{"class":"Greet","jid":"n","queue":"default","args":[1,"de",null]}`}, message: "argument 3 is one too many: JSON null", again: 1},
		{
			name:  "3 MiB from somebody without a limit",
			queue: []string{`{"class":"Greet","jid":"o","queue":"default","args":[1,"` + strings.Repeat("x", 3<<20) + `"]}`},
			ran:   1,
		},
	}
	onEach(t, func(s *site) {
		var runs tally
		w := s.worker(ebb.Config{Concurrency: 2}, func(p *ebb.Process) {
			greet.Handle(p, func(ctx context.Context, _ greeting) error {
				runs.note(ebb.Info(ctx).JID)
				return nil
			})
		})
		for _, tt := range tests {
			s.Run(tt.name, func(t *testing.T) {
				tt.meet(&site{t, s.url, s.server, s.client}, w, &runs)
			})
		}
	})
}

// meet lets w run into the input, and then a good job.
func (tt *badInput) meet(s *site, w *worker, runs *tally) {
	const unread = "its payload cannot be read"
	before, buried := runs.all(), w.log.count(unread)
	for _, payload := range tt.queue {
		s.raw(payload)
	}
	s.await("verdict", func() bool {
		st := s.stats()
		return st.Ready+st.Held == 0 && runs.all() == before+tt.ran &&
			st.Retrying == int64(tt.again) && st.Dead == int64(len(tt.buried)+tt.dead)
	})
	s.balanced()
	dead := s.jobs(store.Query{Place: store.Dead})
	if len(tt.buried) > 0 {
		if diff := cmp.Diff(tt.queue, payloads(dead)); diff != "" {
			s.Errorf("the dead set (-want +got):\n%s", diff)
		}
	}
	if n := w.log.count(unread) - buried; n != len(tt.buried) {
		s.Errorf("%d lines tell of a payload that cannot be read, want %d", n, len(tt.buried))
	}
	for _, cause := range tt.buried {
		if w.log.count(unread, cause) == 0 {
			s.Errorf("no line says %q", cause)
		}
	}
	if tt.message != "" {
		for _, e := range slices.Concat(s.jobs(store.Query{Place: store.Retrying}), dead) {
			job, err := wire.Parse(e.Payload)
			s.must(err)
			if !strings.Contains(job.ErrorMessage, tt.message) || job.ErrorClass != "ebb.ArgError" {
				s.Errorf("error_class %q, error_message %q", job.ErrorClass, job.ErrorMessage)
			}
		}
	}
	s.clear()
	_, err := greet.Enqueue(s.Context(), s.client, greeting{UserID: 1})
	s.must(err)
	s.await("good job", func() bool { return runs.all() == before+tt.ran+1 })
	s.rest()
}

func TestTheSameJIDTwiceIsTwoJobs(t *testing.T) {
	t.Parallel()
	onEach(t, func(s *site) {
		var runs tally
		for range 2 {
			_, err := greet.Enqueue(s.Context(), s.client, greeting{UserID: 1}, ebb.JID("twin"))
			s.must(err)
		}
		s.worker(ebb.Config{}, func(p *ebb.Process) {
			greet.Handle(p, func(ctx context.Context, _ greeting) error {
				runs.note(ebb.Info(ctx).JID)
				return nil
			})
		})
		s.rest()
		if n := runs.of("twin"); n != 2 {
			s.Errorf("%d runs", n)
		}
	})
}

func TestWhatTheProgramItselfGetsWrong(t *testing.T) {
	t.Parallel()
	onEach(t, func(s *site) {
		big := greeting{UserID: 1, Locale: strings.Repeat("x", 3<<20)}
		for what, enqueue := range map[string]func() (ebb.Ref, error){
			"Enqueue": func() (ebb.Ref, error) { return greet.Enqueue(s.Context(), s.client, big) },
			"EnqueueMany": func() (ebb.Ref, error) {
				refs, err := greet.EnqueueMany(s.Context(), s.client, []greeting{{UserID: 1}, big})
				return refs[0], err
			},
			"Push": func() (ebb.Ref, error) {
				return s.client.Push(s.Context(), ebb.Envelope{Kind: "Greet", Args: fmt.Appendf(nil, `[1,%q]`, big.Locale)})
			},
		} {
			ref, err := enqueue()
			if !errors.Is(err, ebb.ErrTooLarge) || ref.JID != "" || store.Hint(err) == "" {
				s.Errorf("%s of 3 MiB: %+v, %v\nhint: %s", what, ref, err, store.Hint(err))
				continue
			}
			var size, limit int
			_, said, _ := strings.Cut(err.Error(), ebb.ErrTooLarge.Error()+": ")
			if _, err := fmt.Sscanf(said, "%d bytes, and the limit is %d", &size, &limit); err != nil || size < 3<<20 || size > 3<<20+1000 || limit != 1<<20 {
				s.Errorf("%s of 3 MiB: %q has %d and %d in it: %v", what, said, size, limit, err)
			}
		}
		if st := s.stats(); st.Ready+st.Scheduled != 0 {
			s.Errorf("something was pushed: %+v", st)
		}

		_, err := greet.Enqueue(s.Context(), s.client, greeting{UserID: 1})
		s.must(err)
		handle := func(p *ebb.Process) { greet.Handle(p, func(context.Context, greeting) error { return nil }) }
		wrong := ebb.NewProcess(s.client, ebb.Config{Concurrency: -3, Groups: []ebb.Group{{Queues: []string{"x"}, Concurrency: -1}}})
		handle(wrong)
		err = wrong.Start(s.Context())
		if err == nil || !strings.Contains(err.Error(), "Config.Concurrency: -3 is negative") || !strings.Contains(err.Error(), "Config.Groups[0].Concurrency: -1 is negative") {
			s.Errorf("a negative concurrency: %v", err)
		}
		if st := s.stats(); st.Ready != 1 {
			s.Errorf("the job is not where it was: %+v", st)
		}
		s.worker(ebb.Config{}, handle)
		s.rest()
	})
}
