package stopseq

import "time"

// margin is what is kept free of the grace when an idle step ends, so that the last
// step is over before the platform's KILL.
const margin = 2 * time.Second

// Hour is when a step begins and when it ends at the latest, counted from the
// beginning of the sequence. A signal takes no time.
type Hour struct {
	Step     Step
	From, To time.Duration
}

// Plan returns the hours of all steps if none ends early. With a grace, which is the
// time from the beginning to the platform's KILL, an idle step ends in time for what
// follows: at grace, less the waits that follow, less 2 s, and at once if that has
// passed. Waits are what they are, also where they go past the grace. A grace of 0
// is one that nobody knows.
func (q Sequence) Plan(grace time.Duration) []Hour {
	hours := make([]Hour, len(q))
	now := time.Duration(0)
	for i := range q {
		hours[i] = q.hour(i, now, grace)
		now = hours[i].To
	}
	return hours
}

// hour is that of one step which begins at from.
func (q Sequence) hour(i int, from, grace time.Duration) Hour {
	step := q[i]
	to := from
	if step.Kind != Signal {
		to += step.For
	}
	if step.Kind == Idle && grace > 0 {
		to = max(from, min(to, grace-q[i+1:].waits()-margin))
	}
	return Hour{step, from, to}
}

// waits is the sum of the waits that nothing but the end of the process shortens.
func (q Sequence) waits() (sum time.Duration) {
	for _, step := range q {
		if step.Kind == Wait {
			sum += step.For
		}
	}
	return sum
}
