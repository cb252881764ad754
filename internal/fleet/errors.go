package fleet

import (
	"cmp"
	"context"
	"hash/fnv"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// Group is failures that are alike: of one class, with one message but for what
// differs from job to job.
type Group struct {
	ID       string    `json:"id"` // of class and message; fit for a URL
	Class    string    `json:"class"`
	Message  string    `json:"message"`
	Count    int       `json:"count"`
	Retrying int       `json:"retrying"`
	Dead     int       `json:"dead"`
	First    time.Time `json:"first_seen,omitzero"`
	Last     time.Time `json:"last_seen,omitzero"`
	Release  string    `json:"release,omitempty"` // the last to begin before it was first seen
	Kind     string    `json:"kind"`              // of the example
	JID      string    `json:"jid"`
}

// Where says where its jobs are: "212 in retry, 3 dead".
func (g *Group) Where() string {
	var parts []string
	if g.Retrying > 0 {
		parts = append(parts, prose.Count(g.Retrying)+" in retry")
	}
	if g.Dead > 0 {
		parts = append(parts, prose.Count(g.Dead)+" dead")
	}
	return strings.Join(parts, ", ")
}

// maxMessage is how many bytes of a message tell groups apart.
const maxMessage = 200

// What differs from job to job, and what stands for it.
var differs = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`"[^"]*"|` + "`[^`]*`"), "“…”"},
	{regexp.MustCompile(`(^|[^\pL\pN])'[^']*'`), "$1“…”"}, // not the apostrophe of a word
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "#"},
	{regexp.MustCompile(`(?i)\b0x[0-9a-f]+\b`), "#"},
	{regexp.MustCompile(`(?i)\b[0-9a-f]*([0-9][a-f]|[a-f][0-9])[0-9a-f]{6,}\b`), "#"},
	{regexp.MustCompile(`(?i)\b[a-z]+[_-][a-z]*[0-9][a-z0-9]*\b`), "#"}, // as in cus_9Kd2
	{regexp.MustCompile(`[0-9]+([.,:][0-9]+)*`), "#"},
}

// GroupOf returns what failures of this kind have in common: their class, and the first
// line of the message without numbers, ids and what is quoted.
func GroupOf(job *wire.Job) (class, message string) {
	message, _, _ = strings.Cut(strings.TrimSpace(job.ErrorMessage[:min(len(job.ErrorMessage), 4*maxMessage)]), "\n")
	for _, d := range differs {
		message = d.what.ReplaceAllString(message, d.by)
	}
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	return job.ErrorClass, strings.Join(strings.Fields(strings.ToValidUTF8(message, "�")), " ")
}

// GroupID names a group.
func GroupID(class, message string) string {
	h := fnv.New64a()
	h.Write([]byte(class + "\x00" + message))
	return strconv.FormatUint(h.Sum64(), 36)
}

// Groups counts the failures among entries by what they have in common, those with the
// most jobs first. Entries that never failed, or that cannot be read, are passed over.
// It returns what it has when entries fail.
func Groups(entries iter.Seq2[store.Entry, error], marks []store.Mark) ([]Group, error) {
	var groups []Group
	at := map[string]int{}
	var failed error
	for e, err := range entries {
		if err != nil {
			failed = err
			break
		}
		job, err := wire.Parse(e.Payload)
		if err != nil || job.ErrorClass == "" {
			continue
		}
		class, message := GroupOf(job)
		id := GroupID(class, message)
		i, known := at[id]
		if !known {
			i = len(groups)
			at[id] = i
			groups = append(groups, Group{ID: id, Class: class, Message: message, First: job.FailedAt})
		}
		groups[i].add(job, e.Place)
	}
	for i := range groups {
		groups[i].Release = releaseAt(marks, groups[i].First)
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), strings.Compare(a.ID, b.ID))
	})
	return groups, failed
}

func (g *Group) add(job *wire.Job, place store.Place) {
	g.Count++
	switch place {
	case store.Retrying:
		g.Retrying++
	case store.Dead:
		g.Dead++
	}
	if first := job.FailedAt; !first.IsZero() && (g.First.IsZero() || first.Before(g.First)) {
		g.First = first
	}
	last := job.FailedAt
	if job.RetriedAt.After(last) {
		last = job.RetriedAt
	}
	if g.JID == "" || last.After(g.Last) {
		g.JID, g.Kind, g.Last = job.JID, job.Name(), last
	}
}

// releaseAt is the last release that had begun at a moment.
func releaseAt(marks []store.Mark, t time.Time) (release string) {
	var at time.Time
	for _, m := range marks {
		if !t.IsZero() && !m.At.After(t) && !m.At.Before(at) {
			release, at = m.Release, m.At
		}
	}
	return release
}

// sample is how many jobs of each set a sample of errors reads.
const sample = 1000

// SampleErrors groups the failures of the jobs that are due next in the retry set and of
// those that died last: of each set at most 1,000.
func SampleErrors(ctx context.Context, st store.Inspector, marks []store.Mark) ([]Group, error) {
	return Groups(func(yield func(store.Entry, error) bool) {
		for _, q := range []store.Query{{Place: store.Retrying, Limit: sample}, {Place: store.Dead, Newest: true, Limit: sample}} {
			for e, err := range st.Jobs(ctx, q) {
				if !yield(e, err) {
					return
				}
			}
		}
	}, marks)
}
