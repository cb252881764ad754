//go:build !unix

package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ebbjobs/ebb/wire"
)

// Guards need process groups, and sockets that carry descriptors.
type Guards struct{}

// NewGuards makes an empty set.
func NewGuards(*slog.Logger) *Guards { return &Guards{} }

// Close does nothing.
func (*Guards) Close() {}

// IsGuard reports that this process is none.
func IsGuard([]string) bool { return false }

// GuardMain is never called.
func GuardMain() {}

func (s Spec) fits() error {
	return fmt.Errorf("programs as handlers need a unix system: %w", errors.ErrUnsupported)
}

// Run fails, as Check has said.
func (h *Handler) Run(context.Context, *wire.Job) error { return &StartError{h.spec.fits()} }
