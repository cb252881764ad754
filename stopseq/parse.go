package stopseq

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// SyntaxError is a mistake in a sequence.
type SyntaxError struct {
	Text   string // the whole sequence
	At     int    // where the mistake is in it, in bytes; len(Text) is behind its end
	Reason string
	Try    string // the one thing to try
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("stopseq: byte %d of %q: %s", e.At+1, e.Text, e.Reason)
}

// Hint returns the one thing to try.
func (e *SyntaxError) Hint() string { return e.Try }

const (
	idle    = "idle"
	longest = 30 * 24 * time.Hour // of all waits together, so that their sum is a Duration for sure
	usual   = "TSTP;idle<=1h;TERM;25s;KILL"
)

// Parse reads a sequence. One that makes no sense is refused by a [*SyntaxError]:
// besides what is no step, that is a wait in front, two waits of one kind in a row, a
// wait of no time, and a sequence that cannot end, because nothing that it sends
// last asks the process to. What only looks unwise is told by [Sequence.Lint].
func Parse(text string) (Sequence, error) {
	p := &parser{text: text}
	for at := 0; ; {
		word, behind := text[at:], len(text)
		if i := strings.IndexAny(word, ";,"); i >= 0 {
			word, behind = word[:i], at+i
		}
		at += len(word) - len(trimLeft(word))
		if err := p.step(strings.TrimSpace(word), at); err != nil {
			return nil, err
		}
		if behind == len(text) {
			break
		}
		at = behind + 1
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return p.sequence, nil
}

func trimLeft(text string) string { return strings.TrimLeftFunc(text, unicode.IsSpace) }

// parser is what has been read of a text.
type parser struct {
	text     string
	sequence Sequence
	waits    time.Duration // the sum so far
}

func (p *parser) fail(at int, try, reason string, args ...any) error {
	return &SyntaxError{Text: p.text, At: at, Reason: fmt.Sprintf(reason, args...), Try: try}
}

// last is the kind of the step before, and false in front of the first.
func (p *parser) last() (Kind, bool) {
	if len(p.sequence) == 0 {
		return 0, false
	}
	return p.sequence[len(p.sequence)-1].Kind, true
}

// step reads one step, which begins at a byte of the text.
func (p *parser) step(word string, at int) error {
	if word == "" {
		return p.missing(at)
	}
	if i := strings.IndexFunc(word, unicode.IsSpace); i >= 0 && !strings.HasPrefix(strings.ToLower(word), idle) {
		return p.fail(at+i, strings.Join(strings.Fields(word), ";"), "steps are divided by ; or ,")
	}
	if most, ok := cutIdle(word); ok {
		return p.idle(word, most, at)
	}
	before, any := p.last()
	if signal, ok := ParseSignal(word); ok && (!digits(word) || !any || before != Signal) {
		p.sequence = append(p.sequence, Step{Kind: Signal, Signal: signal, At: at})
		return nil
	}
	d, ok := duration(word)
	if !ok {
		return p.unknown(word, at)
	}
	return p.wait(Step{Kind: Wait, For: d, At: at})
}

func (p *parser) missing(at int) error {
	if strings.TrimSpace(p.text) == "" {
		return p.fail(0, usual, "there is no step")
	}
	return p.fail(at, "take one separator away", "a step is missing here")
}

// cutIdle returns what follows the word idle, and false if word does not begin so.
func cutIdle(word string) (string, bool) {
	if len(word) < len(idle) || !strings.EqualFold(word[:len(idle)], idle) {
		return "", false
	}
	return trimLeft(word[len(idle):]), true
}

func (p *parser) idle(word, rest string, at int) error {
	most, ok := strings.CutPrefix(rest, "<=")
	if !ok {
		most, ok = strings.CutPrefix(rest, "≤")
	}
	most = trimLeft(most)
	behind := at + len(word) - len(most)
	d, reads := duration(most)
	switch {
	case rest == "":
		return p.fail(at+len(word), "idle<=1h", "idle has no most: a job that never ends would hold up the end")
	case !ok:
		return p.fail(at+len(word)-len(rest), "idle<=1h", "behind idle stands <= and the longest that it may take")
	case !reads:
		return p.fail(behind, "idle<=1h, idle<=90s or idle<=90", "%q is no length of time", most)
	}
	return p.wait(Step{Kind: Idle, For: d, At: at})
}

// wait adds a Wait or an Idle, where one has a meaning.
func (p *parser) wait(s Step) error {
	before, any := p.last()
	p.waits += min(s.For, longest+1)
	switch {
	case !any:
		return p.fail(s.At, "begin with TSTP, which quiets, or with TERM", "a sequence begins with a signal: nothing has been asked of the process that it could wait for")
	case before == s.Kind:
		return p.fail(s.At, "write one wait, or a signal between the two", "two waits in a row are one")
	case s.For == 0:
		return p.fail(s.At, "leave it out", "a wait of no time is none")
	case p.waits > longest:
		return p.fail(s.At, "an hour is 1h", "the waits come to more than %v days", int(longest/(24*time.Hour)))
	}
	p.sequence = append(p.sequence, s)
	return nil
}

// duration reads a Go duration, in any case, or a number of seconds.
func duration(text string) (time.Duration, bool) {
	text = strings.ToLower(text)
	if digits(text) {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// unknown says what a word was probably meant to be.
func (p *parser) unknown(word string, at int) error {
	name := strings.TrimPrefix(strings.ToUpper(word), "SIG")
	if digits(name) {
		return p.fail(at, "signals have the numbers 1 to 64, and names, such as TERM", "there is no signal %s", name)
	}
	if '0' <= word[0] && word[0] <= '9' || word[0] == '-' {
		return p.fail(at, "90s, 1h30m, or a number of seconds", "%q is no length of time", word)
	}
	if name == "QUIET" || name == "DRAIN" {
		return p.fail(at, "did you mean TSTP?", "%q is no step", word)
	}
	for _, n := range signals {
		if slip(name, n.name) {
			return p.fail(at, "did you mean "+n.name+"?", "%q is no step", word)
		}
	}
	if slip(name, strings.ToUpper(idle)) {
		return p.fail(at, "did you mean idle<=1h?", "%q is no step", word)
	}
	return p.fail(at, "a step is a signal, such as TERM, a wait, such as 25s, or idle<=1h", "%q is no step", word)
}

// slip reports whether one letter is wrong, missing or too many in a word, or two
// neighbours have changed places.
func slip(word, meant string) bool {
	for word != "" && meant != "" && word[0] == meant[0] {
		word, meant = word[1:], meant[1:]
	}
	for word != "" && meant != "" && word[len(word)-1] == meant[len(meant)-1] {
		word, meant = word[:len(word)-1], meant[:len(meant)-1]
	}
	if len(word) == 2 && len(meant) == 2 {
		return word[0] == meant[1] && word[1] == meant[0]
	}
	return len(word) <= 1 && len(meant) <= 1
}

// end refuses a sequence after which the process would still be there.
func (p *parser) end() error {
	for i := len(p.sequence) - 1; i >= 0; i-- {
		s := p.sequence[i]
		switch {
		case s.Kind != Signal || s.Signal == sigCONT: // CONT only lets a process hear what came before
			continue
		case ends(s.Signal):
			return nil
		}
		return p.fail(s.At, p.sequence.String()+";TERM", "nothing ends the process: %s is the last that it gets", SignalName(s.Signal))
	}
	return p.fail(0, p.sequence.String()+";TERM", "nothing ends the process")
}
