package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

// stale is how old what is shown may be before the view says so, in looks.
const stale = 5

var reverse = lipgloss.NewStyle().Reverse(true)

// screen is the whole view, of as many lines as the terminal has.
func (t *top) screen() string {
	lines := t.head()
	rest := t.height - len(lines) - 1
	switch {
	case t.helps:
		lines = append(lines, t.help()...)
	case t.opens:
		opened := strings.Split(strings.TrimRight(t.opened, "\n"), "\n")
		lines = append(lines, opened[min(t.scroll, len(opened)):]...)
	default:
		lines = append(lines, t.tabLine())
		lines = append(lines, t.table(rest-1)...)
	}
	for len(lines) < t.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, t.height-1)], t.foot())
	for i, line := range lines {
		lines[i] = t.fit(line)
	}
	return strings.Join(lines, "\n")
}

// page is the view once, as long as it has to be: every list that has rows.
func (t *top) page() string {
	lines := t.head()
	for t.tab = range tabs {
		if rows := t.rows(); len(rows) > 0 && t.tab != tabErrors {
			lines = append(lines, "", " "+console.Bold(tabNames[t.tab]))
			lines = append(lines, t.printed(rows, len(rows)+1)...)
		}
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(t.fit(line), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// fit cuts a line to the width of the screen.
func (t *top) fit(line string) string {
	end := "…"
	if !t.term.Unicode {
		end, line = ".", console.ASCII(line)
	}
	return ansi.Truncate(line, t.width, end)
}

// head is what stands above each list: whose store this is, whether all is well, and
// its numbers.
func (t *top) head() []string {
	title := " " + console.Bold("ebb top")
	if t.seen == nil {
		state := console.Dim("looking …")
		if t.err != nil {
			state = console.Bad(prose.Plain(t.err.Error()))
		}
		return []string{title, " " + state}
	}
	pic := t.seen.pic
	title += "  " + pic.At.Local().Format("15:04:05")
	switch age := t.now().Sub(pic.At); {
	case t.paused:
		title += "  " + console.Warn("paused")
	case t.err != nil:
		title += "  " + console.Bad(prose.Span(age)+" old: "+prose.Plain(t.err.Error()))
	case age > stale*max(t.every, 1e9):
		title += "  " + console.Warn(prose.Span(age)+" old: the store does not answer")
	}
	title += "  " + prose.Plain(store.Redact(pic.Store.URL))
	return []string{
		t.sides(title, t.states()),
		" " + t.verdict(),
		t.spread(t.numbers()),
		" " + console.Dim("done/s") + " " + t.spark(min(t.width-10, int(sparkFor.Seconds())/10)),
	}
}

// sides puts two texts at both ends of a line. The right one is whole where they meet.
func (t *top) sides(left, right string) string {
	space := t.width - lipgloss.Width(left) - lipgloss.Width(right) - 1
	if space < 2 {
		left = ansi.Truncate(left, max(0, t.width-lipgloss.Width(right)-3), "…")
		space = t.width - lipgloss.Width(left) - lipgloss.Width(right) - 1
	}
	return left + strings.Repeat(" ", max(1, space)) + right
}

// spread is a line of as many parts as fit.
func (t *top) spread(parts []string) string {
	line := ""
	for _, part := range parts {
		longer := line + "   " + part
		if line == "" {
			longer = " " + part
		}
		if lipgloss.Width(longer) > t.width {
			break
		}
		line = longer
	}
	return line
}

// states counts the processes by state, and what was lost.
func (t *top) states() string {
	count := map[string]int{}
	for i := range t.seen.pic.Processes {
		count[fleet.State(&t.seen.pic.Processes[i])]++
	}
	parts := []string{console.Good(t.sign("running")+" "+prose.Count(count["running"])) + " running"}
	for _, state := range []string{"quiet", "draining", "frozen", "lapsed"} {
		style := console.Warn
		if state == "frozen" || state == "lapsed" {
			style = console.Bad
		}
		if n := count[state]; n > 0 {
			word := ""
			if t.width >= 100 {
				word = " " + state
			}
			parts = append(parts, style(t.sign(state)+" "+prose.Count(n))+word)
		}
	}
	lost := t.seen.pic.Balance.Missing
	for _, r := range t.seen.rollouts {
		lost = max(lost, int64(r.Lost))
	}
	text := "lost " + prose.Count(lost)
	if lost > 0 {
		text = console.Bad(text)
	}
	return strings.Join(append(parts, text), "  ")
}

// verdict is the sentence of the moment: that of a rollout under way, else whether all
// is well.
func (t *top) verdict() string {
	pic := t.seen.pic
	sentence := pic.Sentence()
	needs := pic.Needs()
	if i := slices.IndexFunc(t.seen.rollouts, func(r fleet.Rollout) bool { return r.Ended.IsZero() }); i >= 0 && pic.Balance.IsZero() {
		r := &t.seen.rollouts[i]
		title := t.sign(lifecycle.Draining.String())
		if t.width >= 80 {
			title += " " + prose.Plain(r.Title()) + " "
		}
		return console.Warn(title) + " " + prose.Plain(r.Sentence(t.clock()))
	}
	switch {
	case !pic.Balance.IsZero():
		return console.Bad(sentence)
	case len(needs) == 0:
		return console.Good(sentence)
	case strings.Contains(sentence, "need"):
		return console.Warn(sentence) + "  " + console.Dim(needs[0].Sign+" "+needs[0].What+": "+needs[0].Detail)
	}
	return console.Warn(sentence)
}

// numbers are what the store has, the most wanted first.
func (t *top) numbers() []string {
	pic := t.seen.pic
	field := func(name, value string) string { return console.Dim(name) + " " + value }
	busy, slots := pic.Slots()
	numbers := []string{field("waiting", prose.Count(pic.Stats.Ready)), field("running", fmt.Sprintf("%d/%d", busy, slots))}
	if wait, _ := pic.Oldest(); wait > 0 {
		numbers = append(numbers, field("oldest", prose.Span(wait)))
	}
	if t.rates.known {
		numbers = append(numbers, field("done", rate(t.rates.done)), field("failed", rate(t.rates.failing)))
	}
	return append(numbers, field("retry", prose.Count(pic.Stats.Retrying)), field("dead", prose.Count(pic.Stats.Dead)), field("scheduled", prose.Count(pic.Stats.Scheduled)))
}

func rate(perSecond float64) string {
	if perSecond >= 100 {
		return prose.Count(int64(perSecond+0.5)) + "/s"
	}
	return fmt.Sprintf("%.1f/s", perSecond)
}

func (t *top) tabLine() string {
	var names []string
	for i, name := range tabNames {
		name = fmt.Sprintf(" %d %s ", i+1, name)
		if tab(i) == t.tab {
			name = reverse.Render("[" + strings.TrimSpace(name) + "]")
		}
		names = append(names, name)
	}
	line := strings.Join(names, " ")
	if t.filter != "" || t.typing {
		line += "   /" + prose.Plain(t.filter)
	}
	return line
}

// table is the current list, so many lines of it, with the selected row in sight.
func (t *top) table(lines int) []string {
	rows := t.rows()
	if len(rows) == 0 {
		return []string{"", "   " + console.Dim(t.nothing())}
	}
	at := t.at[t.tab].in(rows)
	room := max(1, lines-1)
	from := min(max(0, at-room+1), max(0, len(rows)-room))
	if at >= room {
		from = min(at-room+1, len(rows)-1)
	}
	printed := t.printed(rows[from:min(len(rows), from+room)], room+1)
	if i := at - from + 1; i < len(printed) {
		text := "▸" + strings.TrimPrefix(ansi.Strip(printed[i]), " ") // not by colour alone
		printed[i] = reverse.Render(text + strings.Repeat(" ", max(0, t.width-lipgloss.Width(text))))
	}
	return printed
}

func (t *top) nothing() string {
	if t.filter != "" {
		return "nothing here has " + prose.Plain(t.filter)
	}
	return [tabs]string{"no process has stopped", "no process lives", "no queues yet: the first job makes one", "no job runs", "no job in the retry or the dead set has failed"}[t.tab]
}

// printed lays rows out below the heads of their list.
func (t *top) printed(rows []row, most int) []string {
	heads := t.heads()
	narrow := map[string]bool{}
	if t.width < 100 {
		narrow = map[string]bool{"RSS": true, "UP": true, "SINCE": true}
	}
	if t.width < 72 {
		narrow = map[string]bool{"RSS": true, "UP": true, "SINCE": true, "QUEUES": true, "NOTE": true, "WHERE": true, "RELEASE": true}
	}
	var keep []int
	var columns []console.Column
	for i, h := range heads {
		if !narrow[h.Head] {
			keep, columns = append(keep, i), append(columns, h)
		}
	}
	var cells [][]string
	for _, r := range rows {
		var line []string
		for _, i := range keep {
			line = append(line, r.cells[i])
		}
		cells = append(cells, line)
	}
	var b bytes.Buffer
	console.NewTable(&b, max(20, t.width-2), columns...).Print(cells...) // into memory: there is no error
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	lines = lines[:min(len(lines), most)]
	for i, line := range lines {
		lines[i] = " " + line
	}
	return lines
}

// foot is the last line: a question, what was done, or the keys.
func (t *top) foot() string {
	keys := []string{"↑↓ select", "enter open", "/ filter", "q quiet", "s stop", "p pause", "? help", "esc quit"}
	if !t.term.Unicode {
		keys[0] = "jk select"
	}
	switch {
	case t.asks != nil:
		return " " + console.Warn(t.asks.what)
	case t.note != "":
		return " " + prose.Plain(t.note)
	case t.typing:
		return " " + console.Dim("type what rows must have   enter done   esc all")
	case t.opens:
		keys = []string{"↑↓ scroll", "esc back"}
	case t.helps:
		keys = []string{"any key goes back"}
	case t.paused:
		keys[5] = "p go on"
	}
	line := " " + strings.Join(keys, "  ")
	for len(keys) > 3 && lipgloss.Width(line) > t.width {
		keys = slices.Delete(keys, 1, 2)
		line = " " + strings.Join(keys, "  ")
	}
	return console.Dim(line)
}

func (t *top) help() []string {
	lines := []string{""}
	widest := slices.MaxFunc(topKeys, func(a, b [2]string) int { return cmp.Compare(lipgloss.Width(a[0]), lipgloss.Width(b[0])) })[0]
	for _, k := range topKeys {
		lines = append(lines, "   "+console.Code(k[0])+strings.Repeat(" ", lipgloss.Width(widest)-lipgloss.Width(k[0])+3)+k[1])
	}
	return lines
}
