//go:build unix

package command

import (
	"io"
	"log/slog"
	"os/exec"
	"testing"

	"github.com/ebbjobs/ebb/wire"
)

// BenchmarkRun is one run of a program that does nothing: by a guard that is there,
// by one that is not, and without any.
func BenchmarkRun(b *testing.B) {
	job, err := wire.Parse([]byte(`{"class":"Test","args":[]}`))
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, guards *Guards) {
		h := New(Spec{Kind: "Test", Argv: []string{"true"}}, Options{Guards: guards, Log: slog.New(slog.DiscardHandler), Output: io.Discard})
		if err := h.Run(b.Context(), job); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("guard=idle", func(b *testing.B) {
		guards := NewGuards(nil)
		defer guards.Close()
		for b.Loop() {
			run(b, guards)
		}
	})
	b.Run("guard=new", func(b *testing.B) {
		for b.Loop() {
			guards := NewGuards(nil)
			run(b, guards)
			guards.Close()
		}
	})
	b.Run("guard=none", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command("true").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
