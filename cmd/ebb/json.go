package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf16"
)

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
		_, err = a.term.Out.Write(append([]byte(lead), spelledOut(object)...))
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

// printJSON prints one document, for people too.
func (a *app) printJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := a.term.Out.Write(spelledOut(b.Bytes()))
	return err
}

// spelledOut writes what controls a terminal or turns the direction of writing as
// \u202e. JSON has such signs in strings only, and reads both alike.
func spelledOut(document []byte) []byte {
	unsafe := func(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(document, unsafe) {
		return document
	}
	var b bytes.Buffer
	for _, r := range string(document) {
		if !unsafe(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.Bytes()
}

// encodeJSON writes a value in one line, without its end.
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
