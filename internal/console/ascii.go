package console

import (
	"io"
	"strings"

	"charm.land/lipgloss/v2"
)

// ascii stands for a terminal that shows no more than that. Each sign that it cannot
// show becomes as many others as it has cells, so that columns stay where they are.
type ascii struct{ w io.Writer }

var inASCII = map[rune]string{'…': ".", '·': "-", '–': "-", '—': "-", 'µ': "u", '→': ">", '▸': ">", '✕': "X", '▲': "!", '↑': "^", '↓': "v", '←': "<"}

func (a ascii) Write(b []byte) (int, error) {
	if _, err := io.WriteString(a.w, toASCII(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

func toASCII(s string) string {
	if strings.IndexFunc(s, beyondASCII) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if plain, ok := inASCII[r]; ok {
			b.WriteString(plain)
		} else if beyondASCII(r) {
			b.WriteString(strings.Repeat("?", lipgloss.Width(string(r))))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func beyondASCII(r rune) bool { return r > '~' }

// ASCII is text as a terminal that shows no more than that is given it. Escape codes
// stay.
func ASCII(s string) string { return toASCII(s) }
