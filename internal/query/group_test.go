package query

import (
	"fmt"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// A group is what fleet.Groups counts as one, and no job more.
func TestGroup(t *testing.T) {
	t.Parallel()
	failure := func(class, message string) store.Entry {
		return store.Entry{Place: store.Retrying, Queue: "q", Payload: fmt.Appendf(nil,
			`{"class":"InvoiceJob","jid":"2d2a34bb680199aa00bb11cc","queue":"q","args":[],"error_class":%q,"error_message":%q}`, class, message)}
	}
	first := failure("CardError", "declined: order 1")
	job, err := wire.Parse(first.Payload)
	if err != nil {
		t.Fatal(err)
	}
	q := InGroup(fleet.GroupID(fleet.GroupOf(job)))
	if again, err := Parse(q.String(), time.Now()); err != nil || again.String() != q.String() {
		t.Errorf("%s reads as %v, %v", q, again, err)
	}
	for name, c := range map[string]struct {
		entry store.Entry
		want  bool
	}{
		"itself":          {first, true},
		"another order":   {failure("CardError", "declined: order 22"), true},
		"another message": {failure("CardError", "expired: order 1"), false},
		"another class":   {failure("NetError", "declined: order 1"), false},
		"no failure":      {store.Entry{Place: store.Ready, Queue: "q", Payload: []byte(`{"class":"InvoiceJob","jid":"2d2a34bb680199aa00bb11cc","args":[]}`)}, false},
		"no job":          {store.Entry{Place: store.Dead, Payload: []byte(`error_class`)}, false},
	} {
		if got := q.Match(c.entry); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		checkMissed(t, q, name, c.entry)
	}
}
