//go:build ui

package browser

import (
	"fmt"
	"strings"
	"testing"
)

// attack is what nobody is to see carried out: the script that it names would tell.
const attack = `<script>window.attacked=1</script><img src=x onerror=window.attacked=1>`

const (
	longNumber = "1234567890123456789012345678901234567890"
	turned     = "\u202egnp.exe\u202c \u2066\u200f"
)

// hostile are payloads of people who mean harm, and of programs that do not know what
// they write. The jid of each begins with "bad".
func (l *large) hostile() []string {
	job := func(n int, kind, args, message string) string {
		return strings.Replace(l.retry(n, kind, "bad", args, "Error", message), fmt.Sprintf(`"jid":"%024x"`, n), fmt.Sprintf(`"jid":"bad%021x"`, n), 1)
	}
	return []string{
		job(0, attack, `["`+attack+`"]`, attack),
		job(1, "LongJob", `["`+strings.Repeat("long ", 4<<20/5)+`"]`, strings.Repeat("never ", 100_000)),
		strings.Replace(job(2, "BytesJob", `["BROKEN"]`, "BROKEN"), "BROKEN", "caf\xe9 \xff\xfe\xc0\x80", 2),
		job(3, "NumberJob", `[`+longNumber+`,0.1000000000000000055511151231257827,1e400]`, "too long"),
		strings.Replace(job(4, "TurnedJob", `["TURNED"]`, "TURNED"), "TURNED", turned, 2),
		`this is not even JSON ` + attack,
	}
}

// What people and programs write into jobs is shown as text, and never carried out.
func hostile(t *testing.T, l *large, s *site) {
	b, largest := newTab(t), 0
	for _, page := range []struct {
		path string
		want []string
	}{
		{"/jobs?state=dead&order=newest", []string{"<script>window.attacked", "LongJob", "BytesJob", longNumber, "gnp.exe", "its payload cannot be read"}},
		{"/jobs/" + bad(0), []string{attack}},
		{"/jobs/" + bad(1), []string{"long long long"}},
		{"/jobs/" + bad(2), []string{"caf"}},
		{"/jobs/" + bad(3), []string{longNumber, "0.1000000000000000055511151231257827", "1e400"}},
		{"/jobs/" + bad(4), []string{"gnp.exe"}},
	} {
		b.visit(s.root + page.path)
		b.quiet(page.path)
		_, body := get(t, s.root+page.path)
		if largest = max(largest, len(body)); len(body) > 100_000 {
			t.Errorf("%s has %d bytes", page.path, len(body))
		}
		text := evaluate[string](b, `document.querySelector("main").innerText`)
		for _, want := range page.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not show %q:\n%.2000s", page.path, want, text)
			}
		}
		if evaluate[bool](b, `"attacked" in window || document.querySelector("img[src='x']") !== null`) {
			t.Errorf("%s carries out what a job says", page.path)
		}
		// Marks that turn the direction of text must not reach beyond what they stand in.
		if loose := evaluate[[]string](b, `(() => {
			const marks = /[\u202a-\u202e\u2066-\u2069\u200e\u200f]/, walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), loose = []
			while (walk.nextNode()) if (marks.test(walk.currentNode.nodeValue)) {
				let e = walk.currentNode.parentElement, held = false
				for (; e && getComputedStyle(e).display.startsWith("inline") && !held; e = e.parentElement) held = /isolate|plaintext/.test(getComputedStyle(e).unicodeBidi)
				if (!held && !(e && /isolate|plaintext/.test(getComputedStyle(e).unicodeBidi))) loose.push(walk.currentNode.parentElement.outerHTML.slice(0, 200))
			}
			return loose
		})()`); len(loose) > 0 {
			t.Errorf("%s lets marks turn the text around them: %q", page.path, loose)
		}
	}
	measured(t, "what hostile jobs say is shown as text, in pages of at most %d bytes; numbers of 40 digits are exact", largest)
}

// bad is the jid of one of the hostile jobs.
func bad(n int) string { return fmt.Sprintf("bad%021x", n) }
