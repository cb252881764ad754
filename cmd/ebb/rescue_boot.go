package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/internal/rescue"
	"github.com/ebbjobs/ebb/store"
)

// checkBoot refuses what cannot be the word of a boot.
func checkBoot(boot, identity string) error {
	switch {
	case boot == "":
		return nil
	case identity != "":
		return code(exitUsage, store.WithHint(errors.New("--identity names one process, and --boot all of one start"), "leave out one of them"))
	case !store.IsBoot(boot):
		return code(exitUsage, store.WithHint(fmt.Errorf("no init calls a start of its child %q", boot),
			"say what EBB_BOOT was: an identity ends in it, behind the dash"))
	}
	return nil
}

// bootEnded gives back what all processes hold that one init had started, whose end it
// has seen, and puts back what its child ran if that was Ruby's.
func (r *rescuing) bootEnded(ctx context.Context, boot string, died *rescue.Death) error {
	return r.childEnded(ctx, died, r.holdersEnded(ctx, boot, died))
}

func (r *rescuing) holdersEnded(ctx context.Context, boot string, died *rescue.Death) error {
	processes, err := r.s.Processes(ctx)
	if err != nil {
		return err
	}
	var gone, living []store.Identity
	jobs, holders := int64(0), 0
	for _, p := range processes {
		switch {
		case p.ID.Boot() != boot:
		case r.lives(ctx, p):
			living = append(living, p.ID)
		default:
			gone, jobs = append(gone, p.ID), jobs+p.Holds
			if p.Holds > 0 {
				holders++
			}
		}
	}
	var alive error
	if len(living) > 0 {
		alive = code(exitRefused, store.WithHint(fmt.Errorf("still there, so that their jobs would run twice: %s", someIDs(living)),
			"end them first: ebb processes stop %s", fleet.Short(living[0])))
	}
	switch {
	case len(gone) == 0 && alive != nil:
		return alive
	case len(gone) == 0:
		return nothing("there is no process of boot " + boot)
	case died != nil && (holders <= 1 || !died.Fatal()):
		r.judge.Deaths = map[store.Identity]rescue.Death{}
		for _, id := range gone {
			r.judge.Deaths[id] = *died
		}
	}
	ok, err := r.confirm(ctx, fmt.Sprintf("give back %s of %s of boot %s: %s", prose.Plural(jobs, "job"), prose.Plural(len(gone), "process"), boot, someIDs(gone)))
	if !ok {
		return errors.Join(err, alive)
	}
	err = r.giveBack(ctx, "boot "+boot+": "+someIDs(gone), func(ctx context.Context) error {
		var errs []error
		for _, id := range gone { // who cannot be rescued keeps nobody else waiting
			errs = append(errs, r.rest(ctx, store.Lost{ID: id}, id))
		}
		return errors.Join(errs...)
	})
	return errors.Join(alive, err)
}

// someIDs lists the first of many processes.
func someIDs(ids []store.Identity) string {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = fleet.Short(id)
	}
	return some(short)
}
