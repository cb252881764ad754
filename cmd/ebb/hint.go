package main

import (
	"cmp"

	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/store"
)

// meant hints at the one of known that name was probably meant to be, in the form in
// which it is typed, or at something other where none is near.
func meant(err error, name string, known []string, form, other string) error {
	if near := nearest.To(name, known); near != "" {
		return store.WithHint(err, "did you mean "+form+"?", near)
	}
	return store.WithHint(err, "%s", other)
}

// hintOr is err's own hint, or another.
func hintOr(err error, other string) string { return cmp.Or(store.Hint(err), other) }
