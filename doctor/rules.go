package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rule is one thing that costs jobs, and how it is found.
type Rule struct {
	ID       string
	Severity Severity // of most of its findings
	Title    string   // what is wrong
	Why      string   // why jobs die of it
	Fix      string   // what to do
	check    func(*facts, func(Finding))
}

// Rules are all that there are, by number.
var Rules = slices.SortedFunc(slices.Values(slices.Concat(commandRules, initRules, signalRules, graceRules, hookRules, systemdRules, ecsRules, otherRules, platformRules, drainRules)),
	func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })

// RuleOf finds a rule by its number, in capitals or not.
func RuleOf(id string) (Rule, bool) {
	for _, r := range slices.Concat(Rules, LiveRules) {
		if strings.EqualFold(r.ID, id) {
			return r, true
		}
	}
	return Rule{}, false
}

// each makes a check of all facts from one of a workload. Those in which no jobs run
// are left alone.
func each(check func(*facts, *workload, func(Finding))) func(*facts, func(Finding)) {
	return func(f *facts, tell func(Finding)) {
		for _, w := range f.workloads {
			if !w.runsJobs() {
				continue
			}
			check(f, w, func(found Finding) {
				found.Workload = w.name
				tell(found)
			})
		}
	}
}

// workers is each for what surely runs jobs.
func workers(check func(*facts, *workload, func(Finding))) func(*facts, func(Finding)) {
	return each(func(f *facts, w *workload, tell func(Finding)) {
		if w.isWorker() {
			check(f, w, tell)
		}
	})
}

// array is a command as all formats write a list.
func array(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// spell writes a length of time as grace settings are written.
func spell(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%d s", int(d/time.Second))
	}
	return d.String()
}

func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
