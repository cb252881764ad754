package main

import (
	"bytes"
	"context"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

// appOn is an app whose store is s, and what it prints.
func appOn(s store.Store) (a *app, out, said *bytes.Buffer) {
	out, said = new(bytes.Buffer), new(bytes.Buffer)
	return &app{term: console.New(strings.NewReader(""), out, said, nil), now: time.Now, opened: s}, out, said
}

// bookkeeper is a store that has nothing but books, others at each look.
type bookkeeper struct {
	store.Store
	looks [][]store.Books
	n     int
}

func (b *bookkeeper) Audit(context.Context, store.Identity, time.Duration) ([]store.Identity, error) {
	return nil, nil
}

func (b *bookkeeper) Jobs(context.Context, store.Query) iter.Seq2[store.Entry, error] {
	return func(func(store.Entry, error) bool) {}
}

func (b *bookkeeper) Describe() store.Description { return store.Description{} }

func (b *bookkeeper) Stats(context.Context) (store.Stats, error) {
	books := b.looks[min(b.n, len(b.looks)-1)]
	b.n++
	return store.Stats{Books: books}, nil
}

func TestBooks(t *testing.T) {
	t.Parallel()
	var (
		even   = store.Books{Queue: "q", Accepted: 3, Fetched: 2, Done: 1, Held: 1, Waiting: 1}
		behind = store.Books{Queue: "q", Accepted: 3, Fetched: 2, Done: 1, Waiting: 1}
		gone   = store.Books{Queue: "q", Accepted: 3, Fetched: 2, Done: 1, Held: 1}
		over   = store.Books{Queue: "q", Accepted: 3, Fetched: 1, Done: 1, Held: 1, Waiting: 1}
		shared = store.Books{Queue: "q", Fetched: 2, Done: 1, Held: 1, Waiting: 9, Shared: true}
	)
	for _, test := range []struct {
		name     string
		looks    [][]store.Books
		balanced bool
		says     string
	}{
		{"even", [][]store.Books{{even}}, true, ""},
		{"shared", [][]store.Books{{shared}}, true, ""},
		{"read half way", [][]store.Books{{behind}, {gone}, {even}, {behind}}, true, ""},
		{"held job is gone", [][]store.Books{{behind}}, false, "queue q: custody does not balance: 1 job unaccounted for"},
		{"waiting job is gone", [][]store.Books{{gone}}, false, "queue q: arrivals do not balance: 1 job unaccounted for"},
		{"held twice", [][]store.Books{{over}}, false, "queue q: custody does not balance: 1 job too many"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &bookkeeper{looks: test.looks}
				a, out, said := appOn(s)
				balanced, err := a.books(t.Context(), s, false)
				if err != nil || balanced != test.balanced {
					t.Errorf("balanced: %v, %v; want %v", balanced, err, test.balanced)
				}
				if !strings.HasPrefix(said.String(), test.says) || test.says == "" && said.Len() > 0 {
					t.Errorf("said %q, want %q", said, test.says)
				}
				if !strings.HasPrefix(out.String(), "q\t") {
					t.Errorf("printed %q", out)
				}
			})
		})
	}
}

func TestBooksExit(t *testing.T) {
	t.Parallel()
	a, _, _ := appOn(&bookkeeper{looks: [][]store.Books{{{Queue: "q", Accepted: 1}}}})
	cmd := newBooks(a)
	cmd.SetArgs(nil)
	if exit := exitOf(cmd.ExecuteContext(t.Context())); exit != exitFindings {
		t.Errorf("exit %d, want %d", exit, exitFindings)
	}
}
