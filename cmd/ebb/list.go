package main

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
)

// column is one column of a list: what it is called in --fields and, in capitals,
// at its head, and what it shows of a row, see [app.cell].
type column[T any] struct {
	name string
	cell func(T) any
	look look
}

// look is how a column is laid out.
type look int

const (
	asIs  look = 0
	right look = 1 << iota // numbers end below each other
	flex                   // gives way where the line is too long
	wide                   // only with -o wide, or where it is asked for
)

// list says how rows of one kind are printed. T's JSON form is the row's in json
// and jsonl.
type list[T any] struct {
	columns []column[T]
	name    func(T) string // what -o name prints
	none    string         // what a person is told where there are no rows
}

// The head of a table waits for so many rows, or for so long, to see how wide its
// columns are.
const (
	firstRows = 100
	firstWait = 100 * time.Millisecond
)

// print prints the rows as they come, and returns how many there were.
func (l *list[T]) print(a *app, rows iter.Seq2[T, error]) (n int, err error) {
	write, end, err := l.writer(a)
	if err != nil {
		return 0, err
	}
	for row, err := range rows {
		if err != nil {
			return n, err
		}
		if err := write(row); err != nil {
			return n, err
		}
		n++
	}
	if err := end(); err != nil {
		return n, err
	}
	if n == 0 && l.none != "" && a.flags.output != formJSON && a.flags.output != formLines && a.flags.output != formName {
		a.say("%s", l.none)
	}
	return n, nil
}

// limited ends rows after so many; 0 is no limit.
func limited[T any](rows iter.Seq2[T, error], most int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		n := 0
		for row, err := range rows {
			if !yield(row, err) {
				return
			}
			if n++; n == most {
				return
			}
		}
	}
}

// printAll prints rows that are all there.
func (l *list[T]) printAll(a *app, rows []T) error {
	_, err := l.print(a, func(yield func(T, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	})
	return err
}

// writer returns what prints one row and what prints the end.
func (l *list[T]) writer(a *app) (write func(T) error, end func() error, err error) {
	switch a.flags.output {
	case formName:
		return func(row T) error { _, err := fmt.Fprintln(a.term.Out, prose.Plain(l.name(row))); return err }, func() error { return nil }, nil
	case formJSON, formLines:
		return l.jsonWriter(a)
	}
	columns, err := l.chosen(a)
	if err != nil {
		return nil, nil, err
	}
	if !a.term.OutWatched && a.flags.output == "" {
		return l.tabs(a, columns), func() error { return nil }, nil
	}
	return l.table(a, columns)
}

// chosen are the columns to print.
func (l *list[T]) chosen(a *app) (columns []column[T], err error) {
	if len(a.flags.fields) == 0 {
		for _, c := range l.columns {
			if c.look&wide == 0 || a.flags.output == formWide {
				columns = append(columns, c)
			}
		}
		return columns, nil
	}
	var names []string
	for _, c := range l.columns {
		names = append(names, c.name)
	}
	for _, field := range a.flags.fields {
		i := slices.Index(names, strings.ToLower(field))
		if i < 0 {
			return nil, noField(field, names)
		}
		columns = append(columns, l.columns[i])
	}
	return columns, nil
}

func noField(field string, names []string) error {
	return code(exitUsage, meant(fmt.Errorf("there is no field %q", field), field, names, "%s", "there are "+strings.Join(names, ", ")))
}

func (l *list[T]) cells(a *app, columns []column[T], row T) []string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = a.cell(c.cell(row))
	}
	return cells
}

func (l *list[T]) tabs(a *app, columns []column[T]) func(T) error {
	return func(row T) error {
		_, err := fmt.Fprintln(a.term.Out, strings.Join(l.cells(a, columns, row), "\t"))
		return err
	}
}

// heads are how a table for people shows columns.
func heads[T any](columns []column[T]) []console.Column {
	heads := make([]console.Column, len(columns))
	for i, c := range columns {
		heads[i] = console.Column{Head: strings.ToUpper(strings.ReplaceAll(c.name, "_", " ")), Right: c.look&right != 0, Flex: c.look&flex != 0}
	}
	return heads
}

func (l *list[T]) table(a *app, columns []column[T]) (write func(T) error, end func() error, err error) {
	width := 0
	if a.term.OutWatched && a.flags.output != formWide {
		width = a.term.Width()
	}
	t := &slowTable{table: console.NewTable(a.term.Out, width, heads(columns)...)}
	return func(row T) error { return t.add(l.cells(a, columns, row)) }, t.end, nil
}

// slowTable is a table whose rows may be long in coming: the first ones wait for each
// other, but not for long.
type slowTable struct {
	mu    sync.Mutex
	table *console.Table
	held  [][]string
	begun bool // the head is there
	timer *time.Timer
	err   error // of what was printed meanwhile
}

func (t *slowTable) add(row []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = append(t.held, row)
	if t.timer == nil {
		t.timer = time.AfterFunc(firstWait, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.flush()
		})
	}
	if t.begun || len(t.held) >= firstRows {
		t.flush()
	}
	return t.err
}

func (t *slowTable) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
	t.flush()
	return t.err
}

func (t *slowTable) flush() {
	if len(t.held) > 0 {
		t.begun = true
		t.err = errors.Join(t.err, t.table.Print(t.held...))
	}
	t.held = nil
}

// within lays rows out on a page: as a table for people, else between tabs.
func within[T any](p *page, l *list[T], rows []T) {
	columns := slices.DeleteFunc(slices.Clone(l.columns), func(c column[T]) bool { return c.look&wide != 0 })
	var lines [][]string
	for _, row := range rows {
		cells := l.cells(p.a, columns, row)
		if p.plain {
			p.line("%s", strings.Join(cells, "\t"))
		}
		lines = append(lines, cells)
	}
	if !p.plain {
		console.NewTable(&p.b, p.a.term.Width(), heads(columns)...).Print(lines...) // into memory: there is no error
	}
}

// roomy makes a column one for wide lines only, where a person's has fewer cells.
func (a *app) roomy(l look, cells int) look {
	if a.term.OutWatched && a.term.Width() < cells {
		return l | wide
	}
	return l
}
