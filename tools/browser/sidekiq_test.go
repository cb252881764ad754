//go:build ui

package browser

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// counts are the numbers of jobs that the head of the list of jobs has.
func (b *tab) counts() map[string]int {
	b.Helper()
	counts := map[string]int{}
	for _, text := range evaluate[[]string](b, `[...document.querySelectorAll(".states a")].map(a => a.innerText)`) {
		words := strings.Fields(text)
		if n, err := strconv.Atoi(strings.ReplaceAll(words[len(words)-1], ",", "")); err == nil {
			counts[words[len(words)-2]] = n
		}
	}
	return counts
}

// Sidekiq's own pages of the same store count as ours do, and what is done on either
// side shows on the other.
func TestSidekiq(t *testing.T) {
	t.Parallel()
	l := newSets(t, 1_000)
	l.pour(l.fillQueues)
	theirs, s := l.ruby(t), serve(t, l.redis.URL())
	ours, ruby := newTab(t), newTab(t)
	// Our page is open all the while: what others do comes to it by itself.
	ours.visit(s.root + "/jobs")
	agree := func(when string, retries int) (counts map[string]int) {
		t.Helper()
		var stats struct{ Sidekiq map[string]float64 }
		_, body := get(t, theirs+"/stats")
		l.must(json.Unmarshal(body, &stats))
		l.await("sight of it in our page "+when, func() bool {
			counts = ours.counts()
			return counts["retry"] == retries
		})
		for ourName, theirName := range map[string]string{"waiting": "enqueued", "scheduled": "scheduled", "retry": "retries", "dead": "dead"} {
			if n, ok := counts[ourName]; !ok || n != int(stats.Sidekiq[theirName]) {
				t.Errorf("%s: %d %s in Sidekiq's pages, %d %s in ours: %v", when, int(stats.Sidekiq[theirName]), theirName, n, ourName, counts)
			}
		}
		return counts
	}
	first := agree("at first", 1_000)

	ruby.visit(theirs + "/retries")
	evaluate[string](ruby, `window.confirm = () => true; const boxes = [...document.querySelectorAll("input[name='key[]']")]; boxes[0].checked = boxes[1].checked = true; ""`)
	evaluate[string](ruby, `document.querySelector("input[name=retry]").click(); ""`)
	l.await("retry by Sidekiq's pages", func() bool { return l.redis.Do("ZCARD", "retry") == "998" })
	second := agree("after a retry in Sidekiq's pages", 998)
	if second["retry"] != first["retry"]-2 || second["waiting"] != first["waiting"]+2 {
		t.Errorf("two were retried in Sidekiq's pages: before %v, after %v", first, second)
	}

	ours.visit(s.root + "/jobs?state=retry")
	ours.press(`main tbody input[name=jid]`)
	ours.press(`button[name=verb][value=bury]`)
	ours.within(patience, `document.querySelector("form[action$='/run']")`)
	ours.confirm(1)
	ours.within(patience, `document.querySelector("main form[action$='/undo']")`)
	if left := l.redis.Do("ZCARD", "retry"); left != "997" {
		t.Errorf("after a burial in ours %s are in retry", left)
	}
	ours.visit(s.root + "/jobs")
	third := agree("after a burial in ours", 997)
	if third["dead"] != second["dead"]+1 {
		t.Errorf("one was buried in our pages: before %v, after %v", second, third)
	}
	measured(t, "Sidekiq 6.4.1's pages and ours count alike: %v; retries in theirs and a burial in ours show in the other", third)
}
