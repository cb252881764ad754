package signature

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// load reads the module in testdata, which needs nothing from the net.
func load(t *testing.T, patterns ...string) []Kind {
	t.Helper()
	dir, err := filepath.Abs("testdata/jobs")
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := Load(t.Context(), dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off"), patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

func TestLoad(t *testing.T) {
	t.Parallel()
	type line struct{ Ruby, Lock, Queue, Retry string }
	want := []line{
		{"WelcomeJob.perform_async(user_id, locale = nil, *extras)", "WelcomeJob(user_id: integer, locale: string = nil, *extras: string)", "mailers", "5"},
		{"Jobs::Shapes.perform_async(order_ids, at, every, raw, data, price, host, home, names, any, tree, end_)",
			"Jobs::Shapes(order_ids: [integer], at: time, every: integer, raw: any, data: bytes, price: number, host: string," +
				" home: {street: string, zip?: integer?}, names: map({street: string, zip?: integer?}), any: any," +
				" tree: {Leaf: integer, next: [jobs.Tree?]}, end_: boolean)", "reports", "false"},
		{`MoveJob.perform_async({"street" => street, "zip" => zip})`, "MoveJob({street: string, zip?: integer?})", "", ""},
		{"LabelJob.perform_async(hash)", "LabelJob(map(string))", "", ""},
		{"TickJob.perform_async()", "TickJob()", "", ""},
		{"CountJob.perform_async(arg)", "CountJob(integer)", "", ""},
		{"WhenJob.perform_async(time)", "WhenJob(time: time)", "", ""},
		{"PayJob.perform_async(money)", "PayJob(money: jobs.Money)", "", ""},
		{"PageJob.perform_async(items)", "PageJob(items: [integer])", "", ""},
	}
	var got []line
	for _, k := range load(t, ".") {
		if len(k.Problems) > 0 || k.File != "jobs.go" || k.Line == 0 {
			t.Errorf("%s at %s:%d: %q", k.Name, k.File, k.Line, k.Problems)
		}
		got = append(got, line{k.Ruby(), format(&k), k.Queue, k.Retry})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"BadJob": {"field Size must be optional, as name before it is", "field secret is not exported",
			`field Kind has the tag ebb:"optionl", which is not one of optional, rest and -`},
		"":           {"its name is not a constant"},
		"SpreadJob":  {"its options are not written here"},
		"TwiceJob":   {"mail/mail.go:21 defines it with other arguments"},
		"PointerJob": {"its arguments are a pointer, *mail.Bad"},
		"GenericJob": {"its arguments are a type parameter"},
	}
	got := map[string][]string{}
	for _, k := range load(t, "./mail") {
		if len(k.Problems) > 0 {
			got[k.Name] = k.Problems
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadFails(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/broken\n", "a.go": "package broken\n\nvar x int = \"\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(t.Context(), dir, nil, "./..."); err == nil || !strings.Contains(err.Error(), "a.go:3") {
		t.Errorf("a package that does not compile: %v", err)
	}
	if _, err := Load(t.Context(), dir, nil, "./nowhere"); err == nil {
		t.Error("no error for a folder that is not there")
	}
	t.Setenv("PATH", dir)
	if _, err := Load(t.Context(), dir, nil, "./..."); err == nil || !strings.Contains(err.Error(), "no go command") {
		t.Errorf("without Go: %v", err)
	}
}

func TestLockFile(t *testing.T) {
	t.Parallel()
	kinds := load(t, "./...")
	var first, second bytes.Buffer
	if err := Write(&first, kinds); err != nil {
		t.Fatal(err)
	}
	read, err := Read(bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatalf("%v\n%s", err, first.String())
	}
	if err := Write(&second, read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.String(), second.String()); diff != "" {
		t.Error(diff)
	}
	for _, c := range Compare(read, kinds, true) {
		t.Errorf("nothing has changed, but %s %s", c.Kind, c.What)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"A", "A(", "A(b: )", "A(b: integer", "A(b: [integer)", "A(b: integer) c", "A(b: {c integer})", "A(,)", "A(\"b: integer)",
		"A(" + strings.Repeat("[", 1000) + ")"} {
		if kinds, err := Read(strings.NewReader(line)); err == nil {
			t.Errorf("%q read as %+v", line, kinds)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, now string
		want        []string // broken ones have a !
	}{
		"the same":              {"A(b: integer)", "A(b: integer)", nil},
		"new at the end":        {"A(b: integer)", "A(b: integer, c: string = nil)", []string{"argument 2 (c: string = nil) is new"}},
		"new rest":              {"A()", "A(*c: string)", []string{"argument 1 (*c: string) is new"}},
		"new and required":      {"A()", "A(c: string)", []string{"! argument 1 (c: string) is new and required: jobs that wait have none"}},
		"renamed":               {"A(b: integer)", "A(c: integer)", []string{"argument 1 is called c and was b; the position counts"}},
		"removed":               {"A(b: integer, c: string)", "A(b: integer)", []string{"! argument 2 (c: string) was removed"}},
		"removed in the middle": {"A(b: integer, c: string)", "A(c: string)", []string{"! argument 1 (b: integer) was removed", "! c was argument 2 and is argument 1"}},
		"reordered":             {"A(b: integer, c: integer)", "A(c: integer, b: integer)", []string{"! b was argument 1 and is argument 2", "! c was argument 2 and is argument 1"}},
		"inserted":              {"A(b: integer)", "A(c: integer, b: integer)", []string{"! b was argument 1 and is argument 2"}},
		"retyped":               {"A(b: integer)", "A(b: string)", []string{"! argument 1 (b) was integer and is string"}},
		"may be null":           {"A(b: integer)", "A(b: integer?)", []string{"! argument 1 (b) was integer and is integer?"}},
		"required":              {"A(b: integer = nil)", "A(b: integer)", []string{"! argument 1 (b) was optional and is required"}},
		"optional":              {"A(b: integer)", "A(b: integer = nil)", []string{"argument 1 (b) was required and is optional"}},
		"into the rest":         {"A(b: string = nil)", "A(*c: string)", []string{"argument 1 (b) is part of *c now"}},
		"out of the rest":       {"A(*c: string)", "A(c: string = nil)", []string{"! argument 1 (c) was all the rest and is one argument"}},
		"rest of another type":  {"A(*c: string)", "A(*c: integer)", []string{"! argument 1 (c) was string and is integer"}},
		"a member is new":       {"A({a: string})", "A({a: string, b: string})", []string{`"b" in argument 1 (hash) is new`}},
		"a member is gone":      {"A(h: {a: string})", "A(h: {})", []string{`! "a" in argument 1 (h) was removed`}},
		"deep inside":           {"A(h: [{a: map(string)}])", "A(h: [{a: map(bytes)}])", []string{`! each of "a" in each of argument 1 (h) was string and is bytes`}},
		"a kind is gone":        {"A()\nB()", "A()", []string{"! is no longer defined: jobs of it that wait have no handler"}},
		"a kind is new":         {"A()", "A()\nB()", []string{"is new"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, err := Read(strings.NewReader(c.before))
			if err != nil {
				t.Fatal(err)
			}
			now, err := Read(strings.NewReader(c.now))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, change := range Compare(before, now, true) {
				if change.Breaks {
					change.What = "! " + change.What
				}
				got = append(got, change.What)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	before, _ := Read(strings.NewReader("A()\nB()"))
	if changes := Compare(before, before[:1], false); len(changes) > 0 {
		t.Errorf("a part of the packages was looked at, but %v", changes)
	}
}

func TestRubyName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"UserID": "user_id", "HTTPServer": "http_server", "OrderIDs": "order_ids", "IDs": "ids", "URLsToGo": "urls_to_go",
		"A": "a", "V2Name": "v2_name", "Class": "class_", "first_name": "first_name", "to-address": "to_address", "2nd": "_2nd", "": "_", "Größe": "größe",
	} {
		if got := rubyName(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("A(b: {c?: [map(integer)?]} = nil, *d: \"x y\")")
	f.Fuzz(func(t *testing.T, text string) {
		kinds, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		Write(&first, kinds)
		again, err := Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("%v in %q", err, first.String())
		}
		Write(&second, again)
		if first.String() != second.String() {
			t.Errorf("%q became %q", first.String(), second.String())
		}
	})
}
