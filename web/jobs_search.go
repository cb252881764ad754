package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/internal/export"
	"github.com/ebbjobs/ebb/internal/query"
	"github.com/ebbjobs/ebb/store"
)

// found is a line of a search that goes on: rows that match, and how far it is.
type found struct {
	Looked int64  `json:"looked"`
	Of     int64  `json:"of"`
	Found  int64  `json:"found"` // in this search
	MS     int64  `json:"ms"`
	Rows   string `json:"rows,omitempty"` // as the list shows them
	// Next is where the list goes on behind the last row that was sent.
	Next  string `json:"next,omitempty"`
	Error string `json:"error,omitempty"`
	End   bool   `json:"end,omitempty"`
}

var errNoSearch = errors.New("there is nothing to search for so")

// progressEvery is how often a search tells how far it is.
const progressEvery = 100 * time.Millisecond

// jobsSearch goes on with a search where a page ended, through all that there is: rows
// up to a page full, and then only their number.
func (ui *UI) jobsSearch(w http.ResponseWriter, r *request) error {
	q, wrong, err := r.readJobsQuery(r.URL.Query())
	if err != nil {
		return err
	}
	if wrong != nil || q.State == "done" {
		return fault(http.StatusBadRequest, errNoSearch, "")
	}
	// Lines of JSON, in which markup means nothing until our own script reads it.
	w.Header().Set("Content-Type", "application/jsonl; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	s := searching{ui: ui, r: r, out: json.NewEncoder(w), flush: http.NewResponseController(w).Flush, began: time.Now(), room: jobsPage}
	if have, err := strconv.Atoi(r.FormValue("rows")); err == nil {
		s.room = max(0, jobsPage-have)
	}
	return s.run(&q)
}

// searching is a search on its way to a browser.
type searching struct {
	ui    *UI
	r     *request
	out   *json.Encoder
	flush func() error
	began time.Time
	told  time.Time
	room  int // for so many rows
	rows  bytes.Buffer
	found found
}

func (s *searching) run(q *jobsQuery) error {
	at := q.after
	search := query.Search{Newest: q.Newest, Looked: func(n, of int64) {
		s.found.Looked, s.found.Of = n, of
		if time.Since(s.told) >= progressEvery {
			s.tell()
		}
	}}
	for e, err := range q.query.Scan(s.r.Context(), s.ui.recent, search, &at) {
		if err != nil {
			s.found.Error = store.Redact(err.Error())
			break
		}
		s.found.Found++
		if s.room == 0 {
			continue
		}
		row := s.r.jobRow(&e)
		if err := execute(&s.rows, "jobs", "row", &rowView{s.r, row}); err != nil {
			return err
		}
		if s.room--; s.room == 0 {
			s.found.Next = at.String()
		}
		if s.found.Found == 1 {
			s.tell() // the first is worth seeing at once
		}
	}
	s.found.End = true
	s.tell()
	return nil
}

func (s *searching) tell() {
	s.told = time.Now()
	s.found.MS, s.found.Rows = time.Since(s.began).Milliseconds(), s.rows.String()
	s.rows.Reset()
	s.out.Encode(&s.found) // of a browser that is gone the context tells
	s.flush()
}

// rowView is what the template of a row gets.
type rowView struct {
	*request
	Row jobRow
}

// RowsOf are the rows of a page with who asks for them.
func (r *request) RowsOf(rows []jobRow) []rowView {
	views := make([]rowView, len(rows))
	for i, row := range rows {
		views[i] = rowView{r, row}
	}
	return views
}

// jobsExport writes what matches as JSON lines, without what is not shown to who asks.
func (ui *UI) jobsExport(w http.ResponseWriter, r *request) error {
	q, wrong, err := r.readJobsQuery(r.URL.Query())
	switch {
	case err != nil:
		return err
	case wrong != nil || q.State == "done":
		return fault(http.StatusBadRequest, errNoSearch, "")
	case !r.Args():
		return forbidden(Operator)
	}
	h := w.Header()
	h.Set("Content-Type", "application/jsonl; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="jobs.jsonl"`)
	h.Set("Cache-Control", "no-store")
	var line []byte
	for e, err := range q.query.Find(r.Context(), ui.store, query.Search{Newest: q.Newest}) {
		if err != nil {
			panic(http.ErrAbortHandler) // half a file must not look like a whole one
		}
		payload, ok := r.payloadOf(&e)
		if !ok {
			continue // nobody can tell what in it is to be hidden
		}
		record := export.Record{State: query.StateOf(e.Place), Queue: e.Queue, At: e.At, Payload: payload}
		line = record.Append(line[:0])
		if _, err := w.Write(line); err != nil {
			return nil
		}
	}
	return nil
}
