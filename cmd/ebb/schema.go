package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/chaos"
	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/internal/load"
	"github.com/ebbjobs/ebb/store"
)

// outputs are the JSON schemas of what commands print with -o json.
var outputs = map[string]func() (*jsonschema.Schema, error){
	"audit":            rowsOf[changeRow],
	"bench":            schemaOf[load.Report],
	"books":            rowsOf[bookRow],
	"chaos":            either(schemaOf[chaos.Report], schemaOf[planInfo]),
	"config":           rowsOf[settingRow],
	"config keys":      rowsOf[keyRow],
	"doctor":           schemaOf[doctorReport],
	"enqueue":          either(schemaOf[enqueued], schemaOf[fileResult]),
	"guard":            rowsOf[rescuedRow],
	"jobs bury":        schemaOf[changeResult],
	"jobs delete":      schemaOf[changeResult],
	"jobs ls":          rowsOf[jobRow],
	"jobs reschedule":  schemaOf[changeResult],
	"jobs retry":       schemaOf[changeResult],
	"jobs show":        either(schemaOf[jobInfo], schemaOf[fateInfo]),
	"processes ls":     rowsOf[processRow],
	"processes quiet":  rowsOf[toldRow],
	"processes resume": rowsOf[toldRow],
	"processes show":   schemaOf[processInfo],
	"processes stop":   rowsOf[toldRow],
	"queues clear":     schemaOf[changeResult],
	"queues ls":        rowsOf[queueRow],
	"queues move":      schemaOf[changeResult],
	"queues show":      schemaOf[queueInfo],
	"rescue":           rowsOf[rescuedRow],
	"rollout status":   either(schemaOf[rolloutInfo], schemaOf[rolloutEvent]),
	"schema":           rowsOf[schemaRow],
	"sequence explain": schemaOf[sequenceInfo],
	"stats":            schemaOf[statsInfo],
	"stops ls":         rowsOf[fleet.Stop],
	"stops show":       schemaOf[stopInfo],
	"undo":             schemaOf[undoResult],
	"version":          schemaOf[versionInfo],
	"vet":              rowsOf[vetRow],
}

// schemaOf is the JSON schema of what a command prints: its Go type's.
func schemaOf[T any]() (*jsonschema.Schema, error) {
	return jsonschema.For[T](&jsonschema.ForOptions{
		TypeSchemas: map[reflect.Type]*jsonschema.Schema{
			reflect.TypeFor[time.Time]():       {Type: "string", Format: "date-time"},
			reflect.TypeFor[json.RawMessage](): {},
		},
	})
}

// rowsOf is the schema of a list, of which each line of jsonl is an item.
func rowsOf[T any]() (*jsonschema.Schema, error) {
	row, err := schemaOf[T]()
	return &jsonschema.Schema{Type: "array", Items: row}, err
}

// either is the schema of a command that answers in one form or another.
func either(forms ...func() (*jsonschema.Schema, error)) func() (*jsonschema.Schema, error) {
	return func() (*jsonschema.Schema, error) {
		s := &jsonschema.Schema{}
		var problems []error
		for _, form := range forms {
			one, err := form()
			s.AnyOf = append(s.AnyOf, one)
			problems = append(problems, err)
		}
		return s, errors.Join(problems...)
	}
}

// schemaRow is a command that has a schema.
type schemaRow struct {
	Command string `json:"command"`
	Answer  string `json:"answer"` // object or array
}

var schemaList = list[schemaRow]{
	columns: []column[schemaRow]{
		{"command", func(r schemaRow) any { return "ebb " + r.Command }, asIs},
		{"answer", func(r schemaRow) any { return r.Answer }, asIs},
	},
	name: func(r schemaRow) string { return r.Command },
}

func newSchema(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema [COMMAND]",
		Short: "Print the JSON schema of a command's answer",
		Long: `Print the JSON schema of what a command answers with -o json, or without COMMAND
the commands that have one. Where the answer is an array, each line of -o jsonl is one
of its items. Fields are not renamed or taken away; new ones may come.`,
		Example: example("ebb schema", "ebb schema queues ls", "ebb schema version"),
		RunE: func(_ *cobra.Command, args []string) error {
			names := slices.Sorted(maps.Keys(outputs))
			if len(args) == 0 {
				rows := make([]schemaRow, len(names))
				for i, name := range names {
					s, err := outputs[name]()
					if err != nil {
						return err
					}
					rows[i] = schemaRow{name, "object"}
					if s.Type == "array" {
						rows[i].Answer = "array"
					}
				}
				return schemaList.printAll(a, rows)
			}
			name := strings.TrimPrefix(strings.Join(args, " "), "ebb ")
			if outputs[name] == nil {
				return noSchema(name, names)
			}
			s, err := outputs[name]()
			if err != nil {
				return err
			}
			s.Title = "ebb " + name
			return a.printJSON(s)
		},
		ValidArgs: slices.Sorted(maps.Keys(outputs)),
	}
	a.listFlags(cmd)
	return cmd
}

func noSchema(name string, names []string) error {
	err := fmt.Errorf("there is no schema of %q", name)
	below := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, name+" ") })
	if len(below) > 0 {
		return code(exitUsage, store.WithHint(err, "there is one of %s", strings.Join(below, ", ")))
	}
	return code(exitUsage, meant(err, name, names, "ebb schema %s", "ebb schema lists those that there are"))
}
