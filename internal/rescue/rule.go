package rescue

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// ruling is what becomes of one job.
type ruling struct {
	event   wire.Event
	crash   bool // it counts as one
	suspect bool
	to      store.Place
	delay   time.Duration
	fate    string
	note    string // why, in words
}

// rule judges a job of a lost process. lone says that it was the one suspect there.
//
// What is proof needs two earlier crashes that nothing explains: a suspicion of which
// nothing is left but that it is recent makes a job wait, and does not bury it.
func (j *Judge) rule(gone store.Lost, how ending, job *wire.Job, lone bool) ruling {
	r := ruling{
		event:   wire.Event{At: gone.Now, What: "rescued", Cause: how.cause, By: string(j.By), Note: string(gone.ID)},
		suspect: job.History.Suspect, to: store.Ready, fate: "rescued",
	}
	if !how.crash {
		return r
	}
	earlier := j.weigh(job, gone.Now)
	times, proof := earlier.all+1, earlier.alone
	witnessed := j.Deaths[gone.ID].fatal
	fully, _ := j.explained(job.JID, gone.ID, gone.Last.Release, gone.Now)
	r.crash = witnessed || !fully
	r.event.Alone = lone && earlier.unexplained >= 2
	r.suspect = times >= 2
	wave := ""
	if !r.crash {
		wave = "others of its release vanished at that time, as in a deploy"
		if how.cause == causeCrash {
			r.event.Cause = causeWave
		}
	} else if r.event.Alone {
		proof++
	}
	limit := cmp.Or(j.Poison, DefaultPoison)
	switch {
	case r.crash && r.suspect && r.event.Alone && limit > 0 && (witnessed || proof >= limit):
		r.to, r.fate, r.suspect = store.Dead, "buried", false
		r.note = fmt.Sprintf("its process %s: the %s in 72 h, and the %s with no other suspect in it", how.words, ordinal(times), ordinal(proof))
	case r.suspect:
		r.to, r.fate, r.delay = store.Scheduled, "delayed", delay(times-1)
		r.delay += j.some(r.delay / 2)
		r.note = fmt.Sprintf("%s; for the %s time in 72 h, so it runs again in %v, as the only suspect of its process",
			cmp.Or(wave, "its process "+how.words), ordinal(times), r.delay.Round(100*time.Millisecond))
	default:
		r.note = cmp.Or(wave, "its process "+how.words+", for the first time in 72 h")
	}
	return r
}

// some is a part of d, by chance: suspects that crashed together must not meet again.
func (j *Judge) some(d time.Duration) time.Duration {
	chance := j.chance
	if chance == nil {
		chance = rand.Int64N
	}
	return time.Duration(chance(int64(d) + 1))
}

// delay is how long a suspect waits at least after so many earlier crashes. From its
// third on that is longer than a wave takes from one end to the next: one and the same
// deploy that only kills does not count twice against a job that is moved about by it.
func delay(n int) time.Duration {
	d := Pace.Delay
	for i := 1; i < n && d < Pace.Most; i++ {
		if d *= 3; i > 1 {
			d = max(d, Pace.Wave)
		}
	}
	return min(d, Pace.Most)
}

func ordinal(n int) string {
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			return fmt.Sprintf("%dst", n)
		case 2:
			return fmt.Sprintf("%dnd", n)
		case 3:
			return fmt.Sprintf("%drd", n)
		}
	}
	return fmt.Sprintf("%dth", n)
}
