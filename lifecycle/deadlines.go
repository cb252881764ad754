package lifecycle

import "time"

// The bounds of the reserve.
const (
	minReserve = 2 * time.Second
	maxReserve = 10 * time.Second
)

// Reserve is the part of grace that is kept for what comes after the jobs'
// contexts have ended: saving, handing back, saying goodbye. It is a tenth of
// grace, at least 2 s, at most 10 s, and never more than half of grace.
func Reserve(grace time.Duration) time.Duration {
	return max(0, min(max(minReserve, grace/10), maxReserve, grace/2))
}

// GraceFor is the grace that leaves timeout to the jobs before the reserve
// begins. It is how Sidekiq's -t is read where nothing else is known.
func GraceFor(timeout time.Duration) time.Duration {
	// The reserve is a tenth of the whole, so a ninth of what it leaves.
	return timeout + max(0, min(max(minReserve, timeout/9), maxReserve, timeout))
}

// Deadlines are the moments of one stop. All are zero while no clock runs.
type Deadlines struct {
	Notice  time.Time `json:"notice"`   // the clock started; jobs were told
	JobsEnd time.Time `json:"jobs_end"` // job contexts end
	GiveUp  time.Time `json:"give_up"`  // what still runs is deaf: stop waiting, leave
	Goodbye time.Time `json:"goodbye"`  // the process should be gone; bounds the call that leaves
	Kill    time.Time `json:"kill"`     // the platform's KILL
}

// derive places the moments between a notice and the kill that it announces. A
// kill in the past puts all but Notice there.
func derive(notice, kill time.Time, reserve time.Duration) Deadlines {
	return Deadlines{
		Notice:  notice,
		JobsEnd: kill.Add(-reserve),
		GiveUp:  kill.Add(-reserve / 3),
		Goodbye: kill.Add(-reserve / 10),
		Kill:    kill,
	}
}

// IsZero reports whether no clock runs.
func (d Deadlines) IsZero() bool { return d.Kill.IsZero() }

// earliest takes the earlier of each moment, so that news can only hasten a stop.
func (d Deadlines) earliest(e Deadlines) Deadlines {
	if d.IsZero() {
		return e
	}
	return Deadlines{
		Notice:  earlier(d.Notice, e.Notice),
		JobsEnd: earlier(d.JobsEnd, e.JobsEnd),
		GiveUp:  earlier(d.GiveUp, e.GiveUp),
		Goodbye: earlier(d.Goodbye, e.Goodbye),
		Kill:    earlier(d.Kill, e.Kill),
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
