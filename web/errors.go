package web

import (
	"errors"
	"fmt"
	"net/http"
	"text/template"

	"github.com/ebbjobs/ebb/store"
)

// statusError is an error with the answer that it is.
type statusError struct {
	error
	status    int
	challenge string // 401 only
}

func (e *statusError) Unwrap() error { return e.error }

// fault is an error that is answered with a status, and the one thing to try.
func fault(status int, err error, hint string, args ...any) error {
	if hint != "" {
		err = store.WithHint(err, hint, args...)
	}
	return &statusError{error: err, status: status}
}

func missing(format string, args ...any) error {
	return fault(http.StatusNotFound, fmt.Errorf(format, args...), "")
}

var errReadOnly = fault(http.StatusMethodNotAllowed, errors.New("these pages are read-only"), "start ebb web without --read-only to change anything")

func forbidden(role Role) error {
	return fault(http.StatusForbidden, fmt.Errorf("only %s may do that", map[Role]string{Viewer: "a viewer", Operator: "an operator", Admin: "an admin"}[role]), "")
}

func unauthorized(auth Auth, err error) error {
	if errors.Is(err, ErrUnauthorized) {
		return &statusError{error: err, status: http.StatusUnauthorized, challenge: auth.Challenge()}
	}
	return fault(http.StatusForbidden, err, "set web.Options.Auth, or start ebb web with --auth")
}

func errHost(host string) error {
	return fmt.Errorf("%q is not a name that these pages are served under", host)
}

// problem is what the page of an error shows.
type problem struct {
	Status     int
	What, Hint string
}

// fail answers an error: with a page of its own, which says what happened, to what,
// and the one thing to try.
func (ui *UI) fail(w http.ResponseWriter, r *request, err error) {
	if r.Context().Err() != nil {
		return // nobody waits for it
	}
	p := problem{Status: http.StatusInternalServerError, What: store.Redact(plainly(err)), Hint: store.Redact(store.Hint(err))}
	if e, ok := errors.AsType[*statusError](err); ok {
		p.Status = e.status
		if e.challenge != "" {
			w.Header().Set("WWW-Authenticate", e.challenge)
		}
	} else if errors.Is(err, store.ErrUnreachable) {
		p.Status = http.StatusServiceUnavailable
	}
	ui.render(w, r, page{Status: p.Status, Title: http.StatusText(p.Status), Template: "problem", Data: p, Bare: p.Status == http.StatusUnauthorized || r.Role < Viewer})
}

// plainly is what an error says to people, who need not know in which template it was
// met.
func plainly(err error) string {
	if e, ok := errors.AsType[template.ExecError](err); ok {
		if inner := errors.Unwrap(e.Err); inner != nil {
			return inner.Error()
		}
	}
	return err.Error()
}
