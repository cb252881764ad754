package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/store"
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

// listFlags gives a command the flags of a list.
func (a *app) listFlags(cmd *cobra.Command) {
	a.outputFlag(cmd, formTable, formWide, formJSON, formLines, formName)
	cmd.Flags().StringSliceVar(&a.flags.fields, "fields", nil, "only these `COLUMNS`, in this order")
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
		return func(row T) error { _, err := fmt.Fprintln(a.term.Out, console.Plain(l.name(row))); return err }, func() error { return nil }, nil
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
	err := fmt.Errorf("there is no field %q", field)
	if near := nearest.To(field, names); near != "" {
		return code(exitUsage, store.WithHint(err, "did you mean %s?", near))
	}
	return code(exitUsage, store.WithHint(err, "there are %s", strings.Join(names, ", ")))
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

func (l *list[T]) table(a *app, columns []column[T]) (write func(T) error, end func() error, err error) {
	heads := make([]console.Column, len(columns))
	for i, c := range columns {
		heads[i] = console.Column{Head: strings.ToUpper(strings.ReplaceAll(c.name, "_", " ")), Right: c.look&right != 0, Flex: c.look&flex != 0}
	}
	width := 0
	if a.term.OutWatched && a.flags.output != formWide {
		width = a.term.Width()
	}
	t := &slowTable{table: console.NewTable(a.term.Out, width, heads...)}
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

func (l *list[T]) jsonWriter(a *app) (write func(T) error, end func() error, err error) {
	var names []string
	if len(a.flags.fields) > 0 {
		known, err := jsonNames[T]()
		if err != nil {
			return nil, nil, err
		}
		for _, field := range a.flags.fields {
			if !slices.Contains(known, field) {
				return nil, nil, noField(field, known)
			}
			names = append(names, field)
		}
	}
	lines, n := a.flags.output == formLines, 0
	write = func(row T) error {
		object, err := encodeJSON(row)
		if err == nil && names != nil {
			object, err = only(object, names)
		}
		if err != nil {
			return err
		}
		lead := ""
		switch {
		case lines:
		case n == 0:
			lead = "[\n  "
		default:
			lead = ",\n  "
		}
		n++
		if lines {
			object = append(object, '\n')
		}
		_, err = a.term.Out.Write(append([]byte(lead), object...))
		return err
	}
	end = func() error {
		close := "\n]\n"
		switch {
		case lines:
			return nil
		case n == 0:
			close = "[]\n"
		}
		_, err := fmt.Fprint(a.term.Out, close)
		return err
	}
	return write, end, nil
}

// jsonNames are the fields of a row's JSON form.
func jsonNames[T any]() ([]string, error) {
	s, err := schemaOf[T]()
	if err != nil {
		return nil, err
	}
	return s.PropertyOrder, nil
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// only keeps the named fields of an object, in that order.
func only(object []byte, names []string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	b := []byte{'{'}
	for _, name := range names {
		value, ok := fields[name]
		if !ok {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), '"', ':')
		b = append(b, value...)
	}
	return append(b, '}'), nil
}
