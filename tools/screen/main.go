// Command screen draws what a terminal shows, for the documents. It reads lines with
// colours, as tmux capture-pane -e prints them, and writes an SVG.
//
//	tmux capture-pane -pe | go run -C tools ./screen > ../docs/guides/demo.svg
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	cellWidth, lineHeight = 8.43, 19.0 // at 14 px
	margin                = 16.0
)

// palette are the eight colours of a terminal, on a dark ground.
var palette = [...]string{"#5c6773", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#76e3ea", "#e6edf3"}

var sequence = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// style is how the next letters look.
type style struct {
	colour    string
	bold, dim bool
}

func (s *style) apply(codes string) {
	for code := range strings.SplitSeq(codes, ";") {
		n, _ := strconv.Atoi(code)
		switch {
		case n == 0:
			*s = style{}
		case n == 1:
			s.bold = true
		case n == 2:
			s.dim = true
		case n == 22:
			s.bold, s.dim = false, false
		case n == 39:
			s.colour = ""
		case n >= 30 && n <= 37:
			s.colour = palette[n-30]
		case n >= 90 && n <= 97:
			s.colour = palette[n-90]
		}
	}
}

func (s style) attributes() string {
	var b strings.Builder
	if s.colour != "" {
		fmt.Fprintf(&b, ` fill="%s"`, s.colour)
	}
	if s.bold {
		b.WriteString(` font-weight="bold"`)
	}
	if s.dim {
		b.WriteString(` opacity="0.65"`)
	}
	return b.String()
}

func main() {
	if err := draw(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "screen:", err)
		os.Exit(1)
	}
}

func draw(in io.Reader, out io.Writer) error {
	var lines []string
	for s := bufio.NewScanner(in); ; {
		if !s.Scan() {
			if s.Err() != nil {
				return s.Err()
			}
			break
		}
		lines = append(lines, strings.TrimRight(s.Text(), " "))
	}
	for len(lines) > 0 && strings.TrimSpace(sequence.ReplaceAllString(lines[len(lines)-1], "")) == "" {
		lines = lines[:len(lines)-1]
	}
	widest := 60
	var body strings.Builder
	var now style
	for i, line := range lines {
		column := 0
		put := func(text string) {
			if strings.TrimSpace(text) != "" {
				fmt.Fprintf(&body, `<text x="%.1f" y="%.1f"%s xml:space="preserve" textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n",
					margin+float64(column)*cellWidth, margin+float64(i)*lineHeight+14, now.attributes(),
					float64(utf8.RuneCountInString(text))*cellWidth, html.EscapeString(text))
			}
			column += utf8.RuneCountInString(text)
		}
		at := 0
		for _, m := range sequence.FindAllStringSubmatchIndex(line, -1) {
			put(line[at:m[0]])
			now.apply(line[m[2]:m[3]])
			at = m[1]
		}
		put(line[at:])
		widest = max(widest, column)
	}
	width, height := 2*margin+float64(widest)*cellWidth, 2*margin+float64(len(lines))*lineHeight
	_, err := fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="#e6edf3">
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
%s</svg>
`, width, height, &body)
	return err
}
