package main

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/stopseq"
	"github.com/ebbjobs/ebb/store"
)

func newSequence(a *app) *cobra.Command {
	return noun("sequence", "Explain stop sequences", newSequenceExplain(a))
}

// parseSequence reads a stop sequence that somebody has typed, and shows where a
// mistake is.
func parseSequence(text string) (stopseq.Sequence, error) {
	q, err := stopseq.Parse(text)
	if e, ok := errors.AsType[*stopseq.SyntaxError](err); ok {
		err = store.WithHint(errors.New(e.Reason+"\n"+pointed(text, e.At)), "%s", e.Try)
	}
	return q, code(exitUsage, err)
}

// pointed is a text with a caret below one of its bytes.
func pointed(text string, at int) string {
	before := utf8.RuneCountInString(prose.Plain(text[:at]))
	return "  " + prose.Plain(text) + "\n  " + strings.Repeat(" ", before) + "^"
}
