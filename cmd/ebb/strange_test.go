package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

// odd controls a terminal, turns the direction of writing and breaks lines.
const odd = "\x1b[31mred\x1b]0;title\x07\u202ertl\u2066\nnew\tline\r\u0000\u009b31m"

// TestStrangeJobs: what others wrote breaks no table, no terminal and no JSON.
func TestStrangeJobs(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "ebb.db")
	s, err := storeurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	quoted, err := json.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	var items []store.Item
	for n, payload := range []string{
		"not JSON", "\xff\xfe", "{}", "[1]", `{"class":"Cut`, odd,
		`{"class":"K","args":["` + "\xc3\x28\xff" + `"],"jid":"%s","queue":"q"}`,
		`{"class":` + string(quoted) + `,"args":[` + string(quoted) + `],"jid":"%s","queue":"q"}`,
		`{"class":"K","args":["` + strings.Repeat("x", 1<<20) + `"],"jid":"%s","queue":"q"}`,
		`{"class":"K","args":[],"jid":"%s","queue":"q","tags":[` + string(quoted) + `],"error_class":` + string(quoted) + `,"error_message":` + string(quoted) + `}`,
	} {
		jid := fmt.Sprintf("0199aa00bb00cc00dd00%04d", n)
		items = append(items, store.Item{JID: jid, Queue: []string{"q", odd}[n%2], Kind: odd, Payload: []byte(strings.Replace(payload, "%s", jid, 1))})
	}
	if _, err := s.Push(t.Context(), store.Call{By: store.NewIdentity(), Lane: store.LanePush, Seq: 1}, items...); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(t.Context(), store.Change{ID: "abc123", By: odd, Verb: "delete", What: odd, Why: odd}); err != nil {
		t.Fatal(err)
	}
	for _, look := range []string{
		"jobs ls", "jobs ls -o wide", "jobs ls -o json", "jobs ls -o jsonl", "jobs ls -o name", "queues ls", "queues ls -o json", "queues show q", "audit", "audit -o jsonl",
		"books", "stats", "stats -o json", "stats -o prometheus", "jobs show 0006", "jobs show 0006 --payload -o json", "jobs show 0007 -o json", "jobs show 0009", "jobs export",
	} {
		exit, said := called(t, strings.Fields(look), "EBB_STORE="+url)
		if exit != exitOK {
			t.Errorf("%s: exit code %d:\n%.1000s", look, exit, said)
		}
		if !utf8.ValidString(said) {
			t.Errorf("%s: is not UTF-8", look)
		}
		if strings.HasSuffix(look, "json") && !json.Valid([]byte(said)) {
			t.Errorf("%s: is no JSON", look)
		}
		columns := -1
		for line := range strings.Lines(said) {
			line = strings.TrimSuffix(line, "\n")
			if look == "jobs export" {
				continue // to the byte
			}
			if strings.HasSuffix(look, "jsonl") && !json.Valid([]byte(line)) {
				t.Errorf("%s: %.200q is no JSON", look, line)
			}
			if i := strings.IndexFunc(strings.ReplaceAll(line, "\t", " "), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%s: %.200q controls a terminal", look, line[i:])
			}
			if n := strings.Count(line, "\t"); strings.HasSuffix(look, " ls") && columns >= 0 && n != columns {
				t.Errorf("%s: %.200q has %d tabs, want %d", look, line, n, columns)
			} else {
				columns = n
			}
		}
	}
	for _, args := range [][]string{{"jobs", "show", odd}, {"queues", "show", odd + "x"}, {odd}, {"--" + odd}, {"jobs", "ls", odd + ":x"}, {"jobs", "ls", "-o", odd}} {
		_, said := called(t, args, "EBB_STORE="+url)
		if i := strings.IndexFunc(strings.NewReplacer("\n", "", "\t", "").Replace(said), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%q: %q controls a terminal", args, said)
		}
	}
}
