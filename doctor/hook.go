package doctor

import (
	"slices"
	"strings"
	"time"
)

// run says what the hook executes.
func (h *hook) run(words []word) {
	h.words = words
	h.text = text{strings.Join(values(words), " "), h.at}
	if len(words) == 0 {
		return
	}
	_, h.shell = shells[baseName(words[0].value)]
	if !h.shell {
		return
	}
	for i, w := range words {
		if strings.HasPrefix(w.value, "-") && strings.HasSuffix(w.value, "c") && i+1 < len(words) {
			h.path, _ = readShell(words[i+1].value) // a mistake in it shows when the hook is looked at by who wrote it
			h.text.at = words[i+1].at
		}
	}
}

// calls are the simple commands of the hook.
func (h *hook) calls() []call {
	switch {
	case h == nil || len(h.words) == 0:
		return nil
	case h.shell:
		return h.path.calls
	}
	return []call{{words: values(h.words)}}
}

// sends are the signals that the hook sends.
func (h *hook) sends() (signals []string) {
	for _, c := range h.calls() {
		signals = append(signals, sentBy(c.words)...)
	}
	return signals
}

// drain is how long a drain may take that the hook runs; false if it runs none. Both
// ebb drain and the script that many copy have 120 s unless told.
func (h *hook) drain() (most time.Duration, ok bool) {
	for _, c := range h.calls() {
		i := slices.IndexFunc(c.words, func(w string) bool { return strings.Contains(w, "sidekiq_safe_shutdown") || baseName(w) == "ebb" })
		if i < 0 || baseName(c.words[i]) == "ebb" && !slices.Contains(c.words[i:], "drain") {
			continue
		}
		most = 2 * time.Minute
		for j, w := range c.words[i:] {
			name, value, joined := strings.Cut(w, "=")
			if name != "-t" && name != "--timeout" {
				continue
			}
			if !joined && i+j+1 < len(c.words) {
				value = c.words[i+j+1]
			}
			if d, ok := seconds(value); ok {
				most = d
			}
		}
		return most, true
	}
	return 0, false
}

// bound is the longest that the hook can take; false if nobody knows.
func (h *hook) bound() (most time.Duration, known bool) {
	if h == nil {
		return 0, true
	}
	if h.sleep > 0 {
		return h.sleep, true
	}
	if d, ok := h.drain(); ok {
		return d, true
	}
	known = !h.http
	for _, c := range h.calls() {
		switch baseName(c.words[0]) {
		case "sleep":
			if len(c.words) > 1 {
				d, ok := seconds(c.words[1])
				most, known = most+d, known && ok
			}
		case "timeout":
			i := slices.IndexFunc(c.words[1:], func(w string) bool { return !strings.HasPrefix(w, "-") })
			if i >= 0 {
				d, ok := seconds(c.words[i+1])
				most, known = most+d, known && ok
			}
		case "kill", "pkill", "killall", "echo", "rm", "touch", "true":
		default:
			known = false
		}
	}
	return most, known
}

// waits says that the hook does not return at once after what it sends.
func (h *hook) waits() bool {
	if _, drains := h.drain(); drains {
		return true
	}
	for _, c := range h.calls() {
		switch baseName(c.words[0]) {
		case "sleep", "wait", "tail", "timeout", "pidwait":
			return true
		}
	}
	return false
}
