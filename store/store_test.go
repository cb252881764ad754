package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"redis://localhost:6379/0":                  "redis://localhost:6379/0",
		"redis://user:s3cret@host:6379/0":           "redis://user:***@host:6379/0",
		"redis://:s3cret@host":                      "redis://***:***@host",
		"redis://tok3n@host":                        "redis://***@host",
		"rediss://u:p%40ss@host?password=x&db=1":    "rediss://u:***@host?password=***&db=1",
		"redis://u:pa?s/s@w@host/1":                 "redis://u:***@host/1",
		"redis://host/0?mail=a@b":                   "redis://***@b", // rather too much than too little
		"sqlite:/var/lib/ebb.db?token=abc":          "sqlite:/var/lib/ebb.db?token=***",
		"redis-sentinel://:pw@a:1,b:2/main/0":       "redis-sentinel://***:***@a:1,b:2/main/0",
		"not a url ://u:p@h":                        "not a url ://u:***@h",
		"redis://u:p@h and again redis://u2:p2@h2/": "redis://u:***@h and again redis://u2:***@h2/",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOpenNamesWhatToImport(t *testing.T) {
	t.Parallel()
	for url, hint := range map[string]string{
		"redis://:secret@cache:6379": "store/redisstore",
		"sqlite:ebb.db":              "store/sqlitestore",
		"postgres://u:secret@db/app": "sqlitestore",
		"ebb.db":                     "sqlitestore",
		"":                           "sqlitestore",
	} {
		_, err := Open(context.Background(), url)
		if err == nil {
			t.Errorf("Open(%q) succeeded without a driver", url)
			continue
		}
		if !strings.Contains(Hint(err), hint) {
			t.Errorf("Open(%q): hint %q does not name %s", url, Hint(err), hint)
		}
		if strings.Contains(err.Error()+Hint(err), "secret") {
			t.Errorf("Open(%q) prints the password: %v", url, err)
		}
	}
}

func TestNotHeld(t *testing.T) {
	t.Parallel()
	if err := NotHeld(nil); err != nil {
		t.Errorf("NotHeld of nothing = %v", err)
	}
	err := fmt.Errorf("driver: ack: %w", NotHeld([]Token{"a", "b"}))
	if !errors.Is(err, ErrNotHeld) {
		t.Errorf("%v does not match ErrNotHeld", err)
	}
	if e, ok := errors.AsType[*NotHeldError](err); !ok || len(e.Tokens) != 2 {
		t.Errorf("tokens are lost in %v", err)
	}
}

func TestBooks(t *testing.T) {
	t.Parallel()
	b := Books{Accepted: 10, Fetched: 7, Done: 2, Retried: 1, Buried: 1, Requeued: 1, Held: 1, Discarded: 1,
		Waiting: 4, Retrying: 1, Dead: 1}
	if b.Custody() != 0 || b.Arrivals() != 0 {
		t.Errorf("custody off by %d, arrivals by %d", b.Custody(), b.Arrivals())
	}
	b.Held--
	if b.Custody() != 1 || b.Arrivals() != 1 {
		t.Errorf("a lost job shows as %d and %d, want 1 and 1", b.Custody(), b.Arrivals())
	}
}

func TestMergeStops(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1795289600, 0)
	got := MergeStops([]StopReport{
		{ID: "a:1:x", Reason: "SIGTERM", Ended: begin, Jobs: []Fate{{JID: "1", Fate: "deaf"}}},
		{ID: "a:1:x", Reason: "deaf jobs left behind", Ended: begin.Add(time.Second), Jobs: []Fate{{JID: "1", Fate: "rescued"}}, Blamed: true},
	})
	if got.Reason != "SIGTERM" || !got.Ended.Equal(begin.Add(time.Second)) || len(got.Jobs) != 2 || !got.Blamed {
		t.Errorf("merged: %+v", got)
	}
	if empty := MergeStops(nil); empty.ID != "" {
		t.Errorf("no parts make %+v", empty)
	}
}
