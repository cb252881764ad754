package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

// matchProcess finds the one process that a person means: by its whole identity, by
// host:pid, or by a part of its identity that no other has.
func matchProcess(all []store.Process, arg string) (store.Process, error) {
	var ids []string
	for _, p := range all {
		ids = append(ids, string(p.ID))
	}
	id, err := matchID("process", ids, arg, "ebb processes ls lists them")
	if err != nil {
		return store.Process{}, err
	}
	return all[slices.Index(ids, id)], nil
}

// matchID finds the one identity that arg means. What is what it is of, hint what to
// do if there is none.
func matchID(what string, ids []string, arg, hint string) (string, error) {
	var found []string
	for _, match := range []func(id string) bool{
		func(id string) bool { return id == arg },
		func(id string) bool { return fleet.Short(store.Identity(id)) == arg },
		func(id string) bool { return strings.Contains(id, arg) },
	} {
		for _, id := range ids {
			if match(id) && !slices.Contains(found, id) {
				found = append(found, id)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		var short []string
		for _, id := range ids {
			short = append(short, fleet.Short(store.Identity(id)), store.Identity(id).Host())
		}
		return "", code(exitNothing, meant(fmt.Errorf("there is no %s %q", what, arg), arg, short, "%s", hint))
	}
	return "", code(exitUsage, store.WithHint(fmt.Errorf("%q may be any of %d: %s", arg, len(found), some(found)), "write more of the one that is meant"))
}

// some lists the first of many words.
func some(words []string) string {
	const most = 10
	if len(words) > most {
		return strings.Join(words[:most], ", ") + ", …"
	}
	return strings.Join(words, ", ")
}
