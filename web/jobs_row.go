package web

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// jobRow is a job in a list.
type jobRow struct {
	JID, Kind, Queue, State string
	Link                    string // to its page
	Args                    shownJSON
	Error                   string
	Try                     string
	Next                    time.Time // when it is due; of a dead one, since when it is
	Touched                 time.Time // the last that happened to it
	Process                 store.Identity
	Unreadable              bool
	Outcome                 string // of one that ended
}

const (
	rowArgs  = 120 // bytes of arguments in a row
	rowError = 160
)

// jobRow is a row as whoever asks may see it.
func (r *request) jobRow(e *store.Entry) jobRow {
	job, err := wire.Parse(e.Payload)
	row := jobRow{
		JID: job.JID, Kind: cut(job.Name(), rowArgs), Queue: e.Queue, State: query.StateOf(e.Place), Try: tryOf(job),
		Next: e.At, Touched: query.Touched(e, job), Process: e.Holder, Error: cut(query.ErrorOf(job), rowError), Unreadable: err != nil,
	}
	row.Args = r.argsOf(job, rowArgs)
	if row.Unreadable {
		row.Error = "its payload cannot be read: " + err.Error()
	}
	row.Link = r.jobLink(job.JID, e)
	return row
}

// jobLink is the address of a job's page, with where it was seen last: in a set of a
// million that is found at once, and a jid alone is not.
func (r *request) jobLink(jid string, e *store.Entry) string {
	if jid == "" {
		return "" // there is nothing to find it by
	}
	near := query.Position{Place: e.Place, Queue: e.Queue, At: e.At, Skip: 1}
	return r.Path("/jobs/"+url.PathEscape(jid), "near", near.String())
}

// tryOf is how often a job has failed, of how often it may.
func tryOf(job *wire.Job) string {
	if n, retries := job.Retry.Limit(-1); retries && n >= 0 {
		return fmt.Sprintf("%d/%d", query.Tries(job), n)
	}
	return fmt.Sprint(query.Tries(job))
}

// cut shortens text, at a character, and makes what is no UTF-8 in it visible.
func cut(text string, most int) string {
	long := len(text) > most
	if long {
		text = text[:most]
		for i := 1; i < 4 && len(text) > 0 && !validEnd(text); i++ {
			text = text[:len(text)-1]
		}
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if long {
		text += "…"
	}
	return text
}

// listEnded lists jobs that have ended, the latest first.
func (ui *UI) listEnded(r *request, v *jobsView) error {
	v.Begins, v.First, v.Newest = v.after.IsZero(), v.after.Seen+1, true
	at := query.Position{Skip: 1}
	for e, err := range ui.store.Ended(r.Context(), "") {
		if err != nil {
			return err
		}
		if at.Seen++; at.Seen <= v.after.Seen || !v.query.Match(asEntry(&e)) {
			continue
		}
		if len(v.Rows) == jobsPage {
			v.Full, v.Looked = true, at.Seen-1
			at.Seen--
			v.Next = at.String()
			break
		}
		v.Rows = append(v.Rows, jobRow{
			JID: e.JID, Kind: cut(e.Kind, rowArgs), Queue: e.Queue, State: "done", Outcome: e.Outcome.String(), Try: fmt.Sprint(e.Attempt),
			Touched: e.At, Process: e.By, Link: r.Path("/jobs/" + url.PathEscape(e.JID)),
		})
	}
	v.Looked = max(v.Looked, at.Seen)
	v.Of = v.Looked
	return nil
}

// asEntry makes of what is remembered of a job that has ended one that a query can be
// asked about.
func asEntry(e *store.Ended) store.Entry {
	job := wire.New{Kind: e.Kind, JID: e.JID, Queue: e.Queue, CreatedAt: e.Created, EnqueuedAt: e.At}
	return store.Entry{Place: store.Keeping, Queue: e.Queue, Payload: job.Append(nil)}
}
