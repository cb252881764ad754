package main

import (
	"context"
	"errors"
	"strings"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/store"
)

// confirm settles whether a change is made. What says what would happen, in a
// sentence. It asks a person, wants --yes where there is none to ask, and reports
// false without an error when the answer is no or --dry-run was given.
func (a *app) confirm(ctx context.Context, what string) (bool, error) {
	return a.confirmTyping(ctx, what, "")
}

// confirmTyping is confirm for changes so large that a y is too easily typed: the
// answer must be word.
func (a *app) confirmTyping(ctx context.Context, what, word string) (bool, error) {
	switch {
	case a.flags.dryRun:
		a.say("%s (nothing is changed: --dry-run)", what)
		return false, nil
	case a.flags.yes:
		return true, nil
	}
	a.say("%s", what)
	question := "Go on? [y/N]"
	if word != "" {
		question = "Type " + word + " to go on:"
	}
	answer, err := a.term.Ask(ctx, question)
	if errors.Is(err, console.ErrNobody) {
		return false, code(exitUsage, store.WithHint(errors.New("nobody is there to confirm this"), "add --yes, or --dry-run to see what would happen"))
	}
	if err != nil {
		return false, code(exitInterrupted, store.WithHint(errInterrupted, "nothing was changed"))
	}
	answer = strings.ToLower(answer)
	if word != "" && answer == strings.ToLower(word) || word == "" && (answer == "y" || answer == "yes") {
		return true, nil
	}
	a.say("nothing was changed")
	return false, nil
}
