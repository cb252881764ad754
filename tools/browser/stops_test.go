//go:build ui

package browser

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const shortAndLong = `
handlers:
  Short: {command: [sh, short.sh]}
  Long: {command: [sh, -c, "trap 'exit 143' TERM; n=0; while :; do n=$((n+1)); echo $n >$EBB_CHECKPOINT.new; mv $EBB_CHECKPOINT.new $EBB_CHECKPOINT; sleep 0.2; done"]}
  Sleep: {command: [sleep, "2"]}
  Endless: {command: [sleep, "600"]}
`

// A process that is killed is seen to be gone while the page of stops is open, and what
// became of its jobs stands there, and stays.
func TestKilled(t *testing.T) {
	t.Parallel()
	c := newCrew(t, shortAndLong)
	b := newTab(t)
	b.visit(c.root + "/stops")
	b.within(patience, `document.querySelector("main").innerText.includes("No process has stopped yet")`)
	c.work("v142", "-c", "8")
	const jobs = 4
	victim := c.work("v142", "-c", "8", "-q", "victims")
	for range jobs {
		c.enqueueIn("victims", "Endless")
	}
	id := c.busy(victim, jobs)

	began := time.Now()
	victim.signal(syscall.SIGKILL)
	b.within(patience, `/vanished/.test(document.querySelector("main").innerText)`)
	seen := time.Since(began)
	b.visit(c.root + "/stops/" + string(id))
	b.within(patience, `/%d rescued/.test(document.querySelector("main").innerText)`, jobs)
	complete := time.Since(began)
	b.quiet("stops")
	text := evaluate[string](b, `document.querySelector("main").innerText`)
	for _, want := range []string{fmt.Sprintf("%d touched", jobs), "0 lost", "vanished"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page of the stop does not say %q:\n%s", want, text)
		}
	}
	b.visit(c.root + "/stops")
	if text := evaluate[string](b, `document.querySelector("main").innerText`); !strings.Contains(text, "vanished") {
		t.Errorf("reloaded, the list does not say that one has vanished:\n%s", text)
	}
	measured(t, "a killed process is shown as vanished after %s, what became of its %d jobs after %s, 0 of them lost", ms(seen), jobs, ms(complete))
	atMost(t, "the time until a killed process is shown as vanished", seen, 3*time.Second)
	atMost(t, "the time until all fates are known", complete, 5*time.Second)
}

// sample is what a page says of a stop at one moment.
type sample struct {
	Phase string
	Left  *int     // jobs
	Off   *float64 // how much the countdown is off the deadline, in seconds
}

// watch notes ten times a second what a page says of a stop.
//
// A look that comes late was held up by the machine, and so was the countdown.
const watch = `window.samples = []; window.last = Date.now(); setInterval(() => {
	const late = Date.now() - last > 300
	window.last = Date.now()
	if (late) return
	const main = document.querySelector("main"), text = main.innerText
	const phase = main.querySelector(".rollout .badge")?.innerText.replace(/[^a-z ]/g, "").trim() ?? ""
	const left = text.match(/(\d+) jobs? left/), clock = main.querySelector("time[data-deadline]")
	let off = null
	if (clock) {
		const [m, s] = clock.innerText.split(":").map(Number)
		off = m * 60 + s - Math.max(0, (new Date(clock.dateTime) - Date.now()) / 1000)
	}
	samples.push({phase, left: left ? Number(left[1]) : null, off})
}, 100); ""`

// While a process drains, its page tells the phases in their order, counts down to the
// KILL by the clock, never counts up jobs, and in the end the fates add up.
func TestDrained(t *testing.T) {
	t.Parallel()
	c := newCrew(t, shortAndLong)
	c.file("short.sh", `n=$(sed 's/.*"args":\[\([0-9.]*\).*/\1/'); until [ -e stopping ]; do sleep 0.05; done; sleep "$n"`)
	w := c.work("v142", "-c", "20", "--grace", "12s")
	var short, long []any
	for i := range 10 {
		short, long = append(short, 1+float64(i)/2), append(long, i)
	}
	jids := slices.Concat(c.enqueue("Short", short...), c.enqueue("Long", long...))
	id := c.busy(w, 20)
	b := newTab(t)
	b.visit(c.root + "/processes")
	c.file("stopping", "")
	w.signal(syscall.SIGTERM)
	c.await("process that drains", func() bool { p := c.of(w); return p == nil || p.State == "draining" })
	b.visit(c.root + "/stops/" + string(id))
	evaluate[string](b, watch)
	<-w.ended
	b.within(patience, `/stopped/.test(document.querySelector(".rollout .badge")?.innerText)`)
	b.quiet("the page of a stop")

	samples, worst, most := evaluate[[]sample](b, `samples`), 0.0, math.MaxInt
	order := []string{"running", "quiet", "draining", "stopped"}
	phase := 0
	for _, s := range samples {
		if at := slices.Index(order, s.Phase); at < phase {
			t.Errorf("after %s comes %q", order[phase], s.Phase)
		} else {
			phase = at
		}
		if s.Left != nil {
			if *s.Left > most {
				t.Errorf("%d jobs are left after there were %d", *s.Left, most)
			}
			most = *s.Left
		}
		if s.Off != nil {
			worst = max(worst, math.Abs(*s.Off))
		}
	}
	if worst > 1 {
		t.Errorf("the countdown was %.1f s off", worst)
	}
	touched, sum, lost := b.fates()
	if touched != 20 || sum != 20 || lost != 0 {
		t.Errorf("%d jobs were touched, what became of them adds up to %d, and %d are lost", touched, sum, lost)
	}
	for _, jid := range jids {
		b.visit(c.root + "/jobs/" + jid)
		if text := evaluate[string](b, `document.querySelector("main").innerText`); !regexp.MustCompile(`(?i)finished|done|checkpoint|given back|handed back`).MatchString(text) {
			t.Errorf("the page of %s does not tell of the stop:\n%s", jid, text)
		}
	}
	b.quiet("the pages of jobs")
	measured(t, "%d looks at a stop of 20 jobs: the countdown was at most %.2f s off, and 20 fates add up", len(samples), worst)
}

var number = regexp.MustCompile(`\d+`)

// fates are the numbers that a page of a stop adds up.
func (b *tab) fates() (touched, sum, lost int) {
	b.Helper()
	for _, text := range evaluate[[]string](b, `[...document.querySelectorAll(".sum .fate")].map(e => e.innerText)`) {
		n, _ := strconv.Atoi(number.FindString(text))
		switch {
		case strings.Contains(text, "touched"):
			touched = n
		case strings.Contains(text, "lost"):
			lost = n
		default:
			sum += n
		}
	}
	return touched, sum, lost
}

// While a release takes the place of another one, every page says so.
func TestRollout(t *testing.T) {
	t.Parallel()
	const size, slots = 6, 3
	c := newCrew(t, shortAndLong)
	var old []*worker
	for range size {
		old = append(old, c.work("v142", "-c", strconv.Itoa(slots)))
	}
	for range 300 {
		c.enqueue("Sleep", 0)
	}
	for _, w := range old {
		c.busy(w, slots)
	}
	b := newTab(t)
	b.visit(c.root + "/queues")
	if text := b.bar(); text != "" {
		t.Errorf("before anything happens the bar says %q", text)
	}
	old[0].signal(syscall.SIGTSTP)
	b.within(patience, `document.querySelector(".deploy")?.innerText.trim()`)

	var heard []string
	for _, w := range old {
		c.work("v143", "-c", "3")
		w.signal(syscall.SIGTERM)
		<-w.ended
		if text := b.bar(); len(heard) == 0 || heard[len(heard)-1] != text {
			heard = append(heard, text)
		}
	}
	b.within(patience, `/%d (processes )?stopped|all \d+ .*stopped|is over|done/i.test(document.querySelector(".deploy").innerText)`, size)
	end := b.bar()
	b.quiet("the bar")
	b.press(".deploy a")
	b.within(patience, `document.querySelector(".sum .fate")`)
	touched, sum, lost := b.fates()
	logged, coming := 0, 0 // a job on its way to its slot is touched, and not in flight
	for _, w := range old {
		// The first to be told fell quiet before it was told to stop.
		for _, line := range append(w.logged("process quiet"), w.logged("process draining")...)[:1] {
			var facts struct {
				InFlight int `json:"in_flight"`
			}
			if err := json.Unmarshal([]byte(line), &facts); err != nil {
				t.Fatal(err)
			}
			logged, coming = logged+facts.InFlight, coming+slots-facts.InFlight
		}
	}
	if touched != sum || touched < logged || touched > logged+coming || lost != 0 {
		t.Errorf("the page says that %d jobs were touched, what became of them adds up to %d, %d are lost; the logs tell of %d", touched, sum, lost, logged)
	}
	measured(t, "the bar says %q and ends with %q; the logs tell of %d jobs, the page of %d, 0 lost", heard, end, logged, touched)
}

// The bar is there as soon as a process falls quiet.
func TestBarAppears(t *testing.T) {
	t.Parallel()
	const bound = time.Second
	c, b := newCrew(t, shortAndLong), newTab(t)
	took := best(5, func() time.Duration {
		w := c.work("v142", "-c", "3")
		c.await("process", func() bool { return c.of(w) != nil })
		b.visit(c.root + "/queues")
		b.within(2*patience, `document.querySelector("[data-fresh]").innerText.includes("live")`)
		const quiet = `/1 quiet/.test(document.querySelector(".deploy").innerText)`
		b.within(patience, `!`+quiet) // any more
		began := time.Now()
		w.signal(syscall.SIGTSTP)
		b.within(patience, quiet)
		seen := time.Since(began)
		w.end(syscall.SIGTERM)
		return seen
	}, bound)
	measured(t, "the bar tells of a process that falls quiet within %s, wanted %s", ms(took), ms(bound))
	atMost(t, "the time until the bar is there", took, bound)
}

// bar is what the bar at the head of every page says.
func (b *tab) bar() string {
	b.Helper()
	return strings.Join(strings.Fields(evaluate[string](b, `document.querySelector(".deploy")?.innerText ?? ""`)), " ")
}
