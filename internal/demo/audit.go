package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
)

// audit says what became of every job, and checks every result against its file. It
// returns an error if anything was lost or is wrong.
func (d *demo) audit(ctx context.Context) error {
	c, err := d.ledger.counts(ctx)
	if err != nil {
		return err
	}
	stats, err := d.client.Store().Stats(ctx)
	if err != nil {
		return err
	}
	var accepted, done, astray int64
	for _, b := range stats.Books {
		accepted += b.Accepted
		done += b.Done
		astray += b.Custody() + b.Arrivals()
	}
	checked, err := check(ctx, d.ledger)
	if err != nil {
		return err
	}
	lost := c.files - c.done
	row := func(what string, n int, meaning string) {
		d.live.Say("  %-11s %8s   %s", what, prose.Count(n), console.Dim(meaning))
	}
	d.live.Say("")
	row("accepted", int(accepted), "a job for each file, and the walk")
	row("done", int(done), "")
	row("run twice", c.twice, "begun again after a kill; a result that is there already is replaced")
	row("lost", lost, "")
	row("checked", checked.right, "results against their files, and the walk's sum against all of them")
	if checked.changed > 0 {
		row("not checked", checked.changed, "files that were changed or could not be read meanwhile")
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
