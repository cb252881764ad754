package bulk

import (
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// target is where the verb puts a job. One that waits for another try waits for it
// in its own set, as when Sidekiq reschedules it.
func (o *Order) target(from store.Place) store.Place {
	switch {
	case o.Verb == Bury:
		return store.Dead
	case o.Verb == Reschedule && from == store.Retrying:
		return store.Retrying
	case o.Verb == Reschedule:
		return store.Scheduled
	}
	return store.Ready
}

// pick is what is done to one job.
func (o *Order) pick(e *store.Entry) store.Pick {
	p := store.Pick{Key: e.Key}
	switch o.Verb {
	case Retry:
		p.Payload = retried(e)
	case Reschedule:
		p.At, p.Payload = o.At, rescheduled(e)
	case Move:
		p.Queue = o.Queue
	}
	return p
}

// retried is the payload of a job that a person sends back to its queue, nil if it
// stays as it is. The store stamps it.
func retried(e *store.Entry) []byte {
	job, err := wire.Parse(e.Payload)
	var p wire.Patch
	if err != nil || !giveTry(e.Place, job, &p) {
		return nil
	}
	return job.With(&p)
}

// rescheduled is the payload of a job that is put off, nil if it stays as it is.
func rescheduled(e *store.Entry) []byte {
	job, err := wire.Parse(e.Payload)
	if err != nil || e.Place == store.Scheduled || e.Place == store.Retrying {
		return nil
	}
	var p wire.Patch
	giveTry(e.Place, job, &p)
	// In the scheduled set nothing is enqueued: Ruby's pages read this time.
	p.Delete("enqueued_at")
	return job.With(&p)
}

// giveTry gives a job that failed one try back, and reports whether it did. Sidekiq
// does the same with each job that a person retries: else the next failure of one
// that is out of tries would bury it, whatever its limit.
func giveTry(from store.Place, job *wire.Job, p *wire.Patch) bool {
	if job.Count < 0 || from != store.Retrying && from != store.Dead {
		return false
	}
	p.SetInt("retry_count", job.Count-1)
	return true
}
