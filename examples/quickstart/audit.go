package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ebbjobs/ebb"
)

// audit prints what became of every job, and checks every result against its file.
// It returns an error if anything was lost or is wrong.
func audit(ctx context.Context, client *ebb.Client, ledger *ledger, out *display) error {
	c, err := ledger.counts(ctx)
	if err != nil {
		return err
	}
	stats, err := client.Store().Stats(ctx)
	if err != nil {
		return err
	}
	var accepted, done, astray int64
	for _, b := range stats.Books {
		accepted += b.Accepted
		done += b.Done
		astray += b.Custody() + b.Arrivals()
	}
	checked, err := check(ctx, ledger)
	if err != nil {
		return err
	}
	lost := c.files - c.done
	out.say("")
	out.say("  accepted   %7d   the walk, and a job for each of %d files", accepted, c.files)
	out.say("  done       %7d", done)
	out.say("  run twice  %7d   begun again after they had been cut off; a result that is there already is replaced", c.twice)
	out.say("  lost       %7d", lost)
	out.say("  checked    %7d   results against their files, and the walk's sum against all of them", checked.right)
	if checked.changed > 0 {
		out.say("  not checked%7d   files that were changed or could not be read meanwhile", checked.changed)
	}
	switch {
	case lost != 0 || astray != 0:
		return fmt.Errorf("lost jobs: %d without a result, %d missing in the books", lost, astray)
	case checked.wrong != 0:
		return fmt.Errorf("%d results are wrong", checked.wrong)
	}
	return nil
}

type verdict struct{ right, wrong, changed int }

func check(ctx context.Context, ledger *ledger) (v verdict, err error) {
	sum := sha256.New()
	err = ledger.results(ctx, func(path string, r result) error {
		addTo(sum, r)
		now, err := measure(ctx, path)
		switch {
		case err != nil:
			return err
		case r.Note != "" || now.Note != "" || r.Of != now.Of:
			v.changed++
		case r != now:
			v.wrong++
		default:
			v.right++
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	walked, err := ledger.walk(ctx)
	if err != nil {
		return v, err
	}
	if v.changed == 0 && walked != hex.EncodeToString(sum.Sum(nil)) {
		return v, errors.New("the walk's sum is wrong")
	}
	return v, nil
}
