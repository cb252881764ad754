package doctor

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	systemdunit "github.com/coreos/go-systemd/v22/unit"
)

// systemdGrace is DefaultTimeoutStopSec as systemd ships it.
const systemdGrace = 90 * time.Second

func isUnit(s Source) bool {
	return path.Ext(s.Name) == ".service" || path.Ext(s.Name) == ".conf" && strings.HasSuffix(path.Dir(s.Name), ".service.d")
}

// unitFile is a unit or one of its drop-ins.
type unitFile struct {
	name    string // of the file
	of      string // of the unit, such as worker.service
	dropIn  bool
	options []option
}

// option is one line of the section [Service].
type option struct {
	name  string
	value text
}

// unit is a service with all its drop-ins: the last value of each option, and the
// commands and variables, which add up until an empty one starts anew.
type unit struct {
	last  map[string]text
	lists map[string][]text
}

// readUnit reads a unit's options. The package that parses them knows no lines, but
// keeps their order, by which they are found again.
func (f *facts) readUnit(s Source) {
	options, err := systemdunit.DeserializeOptions(bytes.NewReader(s.Text))
	if err != nil {
		f.problem(Place{s.Name, firstBadLine(s.Text)}, "this is not a unit: %v", err)
		return
	}
	u := unitFile{name: s.Name, of: path.Base(s.Name)}
	if path.Ext(s.Name) == ".conf" {
		u.dropIn, u.of = true, strings.TrimSuffix(path.Base(path.Dir(s.Name)), ".d")
	}
	lines := strings.Split(string(s.Text), "\n")
	at := 0
	for _, o := range options {
		for i := at; i < len(lines); i++ {
			if name, _, found := strings.Cut(lines[i], "="); found && strings.TrimSpace(name) == o.Name {
				at = i + 1
				break
			}
		}
		if o.Section == "Service" {
			u.options = append(u.options, option{o.Name, text{strings.TrimSpace(o.Value), Place{s.Name, max(1, at)}}})
		}
	}
	f.units = append(f.units, u)
}

// firstBadLine is the line up to which a unit can be parsed no more.
func firstBadLine(source []byte) int {
	lines := bytes.SplitAfter(source, []byte("\n"))
	return min(len(lines), 1+sort.Search(len(lines), func(n int) bool {
		_, err := systemdunit.DeserializeOptions(bytes.NewReader(bytes.Join(lines[:n+1], nil)))
		return err != nil
	}))
}

// unitServices makes workloads of the units, each with its drop-ins in the order in which
// systemd reads them.
func (f *facts) unitServices() {
	slices.SortStableFunc(f.units, func(a, b unitFile) int { return strings.Compare(path.Base(a.name), path.Base(b.name)) })
	for _, file := range f.units {
		if file.dropIn {
			continue
		}
		u := unit{last: map[string]text{}, lists: map[string][]text{}}
		u.add(file.options)
		for _, other := range f.units {
			if other.dropIn && other.of == file.of && path.Dir(path.Dir(other.name)) == path.Dir(file.name) {
				u.add(other.options)
			}
		}
		if starts := u.lists["ExecStart"]; len(starts) > 0 {
			f.workloads = append(f.workloads, u.workload(strings.TrimSuffix(file.of, ".service"), starts[len(starts)-1]))
		}
	}
}

func (u *unit) add(options []option) {
	for _, o := range options {
		switch adds := strings.HasPrefix(o.name, "Exec") || o.name == "Environment"; {
		case !adds:
			u.last[o.name] = o.value
		case o.value.value == "":
			u.lists[o.name] = nil
		default:
			u.lists[o.name] = append(u.lists[o.name], o.value)
		}
	}
}

func (u *unit) workload(name string, start text) *workload {
	w := &workload{
		name: name, platform: systemd, at: start.at, unit: u, env: map[string]text{}, stopSignal: u.last["KillSignal"],
		entry: &command{at: start.at, words: execLine(start)}, grace: span{value: systemdGrace, at: start.at},
	}
	switch u.last["KillMode"].value {
	case "", "control-group":
		w.everyone = true
	}
	for _, name := range []string{"TimeoutSec", "TimeoutStopSec"} {
		if t := u.last[name]; t.value != "" {
			if d, ok := systemdSpan(t.value); ok {
				w.grace = span{d, t.at, t.value}
			}
		}
	}
	for _, line := range u.lists["Environment"] {
		for _, e := range splitWords(line) {
			name, value, _ := strings.Cut(e.value, "=")
			w.env[name] = text{value, e.at}
		}
	}
	for _, stop := range u.lists["ExecStop"] {
		w.hook = &hook{at: stop.at}
		w.hook.run(execLine(stop))
	}
	return w
}

// execLine takes a command line of systemd apart, without the signs in front that say
// how it is run.
func execLine(t text) []word {
	trimmed := strings.TrimLeft(t.value, "-:+!@")
	words := splitWords(text{trimmed, t.at})
	if strings.Contains(t.value[:len(t.value)-len(trimmed)], "@") && len(words) > 1 {
		words = slices.Delete(words, 1, 2) // what the program is to be called
	}
	return words
}

var (
	systemdPart  = regexp.MustCompile(`^([0-9.]+)\s*([a-z]*)\s*`)
	systemdUnits = map[string]time.Duration{
		"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second, "ms": time.Millisecond, "msec": time.Millisecond,
		"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute, "h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
		"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	}
)

// systemdSpan reads a time span of systemd, such as 5min 20s or infinity.
func systemdSpan(s string) (d time.Duration, ok bool) {
	const forever = 10 * 365 * 24 * time.Hour
	if s == "infinity" || s == "0" {
		return forever, true
	}
	for s != "" {
		m := systemdPart.FindStringSubmatch(s)
		if m == nil {
			return 0, false
		}
		n, err := strconv.ParseFloat(m[1], 64)
		size, known := systemdUnits[m[2]]
		if err != nil || !known || n*float64(size) > float64(forever) {
			return 0, false
		}
		d += time.Duration(n * float64(size))
		s = s[len(m[0]):]
	}
	return min(d, forever), true
}
