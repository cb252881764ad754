package command

import (
	"io"
	"log/slog"
	"os"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

// Options are what the programs of one worker share. Guards must be set.
type Options struct {
	Guards *Guards
	// LeaseFile opens another descriptor of the locked file that is the process's
	// lease, for a guard to hold. Nil where leases are not files.
	LeaseFile func(store.Identity) (*os.File, error)
	// Log gets a line for what is odd about a run. Default: slog.Default().
	Log *slog.Logger
	// Output gets what programs print, each line by one Write, with the kind and the
	// end of the jid in front. It is written to by many goroutines. Default: nowhere.
	Output io.Writer
}

// Handler runs a program for each job of a kind.
type Handler struct {
	spec Spec
	opt  Options
}

// New makes the handler that spec declares. It starts nothing, and checks nothing:
// see [Spec.Check].
func New(spec Spec, o Options) *Handler {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	return &Handler{spec: spec, opt: o}
}

// Register gives h its kind in p. Options that are given here win over the spec.
func (h *Handler) Register(p *ebb.Process, opts ...ebb.Option) {
	if h.spec.Timeout > 0 {
		opts = append([]ebb.Option{ebb.Timeout(h.spec.Timeout)}, opts...)
	}
	p.HandleKind(h.spec.Kind, h.Run, opts...)
}
