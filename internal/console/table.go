package console

import (
	"io"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// Column is how one column of a table looks.
type Column struct {
	Head  string
	Right bool // numbers end at the same place
	Flex  bool // it gives way where the line is too long
}

// Table lays rows out in columns, for people. The first rows decide how wide the
// columns are; rows that come later may stretch them for themselves alone, so that
// a table can be longer than memory. What does not fit into the line is cut.
type Table struct {
	w       io.Writer
	columns []Column
	width   int // of a line
	widths  []int
}

const gap = "  "

// NewTable makes a table for a line of the given width; 0 is no limit.
func NewTable(w io.Writer, width int, columns ...Column) *Table {
	return &Table{w: w, columns: columns, width: width}
}

// Print writes rows, the first time with the heads above. Each row has a cell for
// each column.
func (t *Table) Print(rows ...[]string) error {
	var b strings.Builder
	if t.widths == nil {
		t.measure(rows)
		heads := make([]string, len(t.columns))
		for i, c := range t.columns {
			heads[i] = Dim(c.Head)
		}
		t.line(&b, heads)
	}
	for _, row := range rows {
		t.line(&b, row)
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}

func (t *Table) measure(rows [][]string) {
	t.widths = make([]int, len(t.columns))
	total := len(gap) * (len(t.columns) - 1)
	for i, c := range t.columns {
		t.widths[i] = lipgloss.Width(c.Head)
		for _, row := range rows {
			t.widths[i] = max(t.widths[i], lipgloss.Width(row[i]))
		}
		total += t.widths[i]
	}
	const least = 8 // below that a cell says nothing
	for t.width > 0 && total > t.width {
		widest := -1
		for i, c := range t.columns {
			if c.Flex && t.widths[i] > least && (widest < 0 || t.widths[i] > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		t.widths[widest]--
		total--
	}
}

func (t *Table) line(b *strings.Builder, cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		if t.columns[i].Flex {
			cell = ansi.Truncate(cell, t.widths[i], "…")
		}
		space := strings.Repeat(" ", max(0, t.widths[i]-lipgloss.Width(cell)))
		if t.columns[i].Right {
			line.WriteString(space + cell)
		} else {
			line.WriteString(cell + space)
		}
		if i < len(cells)-1 {
			line.WriteString(gap)
		}
	}
	text := strings.TrimRight(line.String(), " ")
	if t.width > 0 {
		text = ansi.Truncate(text, t.width, "…") // a line that wraps breaks every column
	}
	b.WriteString(text + "\n")
}
