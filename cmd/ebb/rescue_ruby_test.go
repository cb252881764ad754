package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// rubies is a store whose processes are Ruby's, and which has one more that keeps its
// jobs to itself.
type rubies struct{ store.Store }

const bareID = store.Identity("host-4:8:0123456789ab")

func (r rubies) Processes(ctx context.Context) ([]store.Process, error) {
	processes, err := r.Store.Processes(ctx)
	for i := range processes {
		processes[i].Lang = "ruby"
	}
	return append(processes, store.Process{Presence: store.Presence{ID: bareID}, Lang: "ruby", Beat: time.Now(), Holds: 1}), err
}

// What ebb's fetch keeps for Ruby is given back like any other, and what a bare
// Sidekiq runs is not there to be given back.
func TestRescueOfRubys(t *testing.T) {
	t.Parallel()
	s := rubies{loseJobs(t, 2)}
	if err := rescuingOn(s).witnessed(t.Context(), string(bareID), nil); err == nil || !strings.Contains(err.Error(), "holds nothing in ebb's keeping") {
		t.Errorf("a bare Sidekiq: %v", err)
	}
	r := rescuingOn(s)
	if err := r.witnessed(t.Context(), string(lostID), nil); err != nil || len(r.rows) != 2 {
		t.Errorf("gave back %d jobs, %v", len(r.rows), err)
	}
}
