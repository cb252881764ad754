package drain

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ebbjobs/ebb/store"
)

// took is a length of time in seconds, with their tenths while there are few.
func took(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func running(jobs int) string {
	switch jobs {
	case 0:
		return "nothing runs"
	case 1:
		return "1 job runs"
	}
	return fmt.Sprintf("%d jobs run", jobs)
}

func seenAs(s State) string {
	switch {
	case s.Gone:
		return "gone"
	case s.Blind:
		return "nobody knows what runs"
	case s.Quiet:
		return "quiet, " + running(s.Busy)
	}
	return running(s.Busy)
}

// names lists jobs for a line, each with how long it has run, and never its arguments.
func names(runs []store.Run, now time.Time) string {
	const most = 10
	var b strings.Builder
	for i, run := range runs {
		switch {
		case i == 0:
			b.WriteString(": ")
		case i == most:
			return fmt.Sprintf("%s, and %d more", b.String(), len(runs)-most)
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s for %s", run.Kind, run.JID, took(max(0, now.Sub(run.Since))))
	}
	return b.String()
}

// plain keeps what others have named on one line, and from commanding a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// String is the report in words: a line for each worker, and one for each of its jobs.
func (r Report) String() string {
	var b strings.Builder
	now := time.Now()
	for _, w := range r.Workers {
		fmt.Fprintf(&b, "%s: %s", plain(w.Name), w.words())
		b.WriteByte('\n')
		for _, run := range w.State.Runs {
			if !w.State.Gone {
				b.WriteString(plain(fmt.Sprintf("  %s %s for %s", run.Kind, run.JID, took(max(0, now.Sub(run.Since))))) + "\n")
			}
		}
	}
	return b.String()
}

func (r Result) words() string {
	if r.Err != nil {
		return fmt.Sprintf("refused after %s: %v", took(r.Since), r.Err)
	}
	return fmt.Sprintf("%s, %s, after %s", r.Outcome, seenAs(r.State), took(r.Since))
}
