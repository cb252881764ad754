package console

import (
	"testing"

	"charm.land/lipgloss/v2"
)

func TestASCIIKeepsColumns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"…0012 · 3 µs":     ".0012 - 3 us",
		"日本語 by e\u0301va": "?????? by eva",
		"bad \xff byte":    "bad ? byte",
		"\x1b[2mdim\x1b[m": "\x1b[2mdim\x1b[m",
	} {
		if got := toASCII(text); got != want || lipgloss.Width(got) != lipgloss.Width(text) && text != "bad \xff byte" {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
