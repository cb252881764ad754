package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/command"
)

// env is an environment of NAME=value words.
func env(words ...string) func(string) string {
	return func(name string) string {
		for _, w := range words {
			if key, value, _ := strings.Cut(w, "="); key == name {
				return value
			}
		}
		return ""
	}
}

// folder makes a folder with one file.
func folder(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// load makes settings of a file's text, an environment and flags.
func load(t *testing.T, in Input, yml string, environ ...string) (*Settings, error) {
	t.Helper()
	in.Getenv = env(environ...)
	in.Dir = folder(t, "ebb.yml", yml)
	return Load(in)
}

func mustLoad(t *testing.T, in Input, yml string, environ ...string) *Settings {
	t.Helper()
	s, err := load(t, in, yml, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// value is a setting as ebb config shows it: "value from source".
func value(s *Settings, key string) string {
	for e := range s.Entries() {
		if e.Key == key {
			return e.Value + " from " + e.Source
		}
	}
	return ""
}

func problems(err error) []string {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return texts
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	flag := func(key, name string, values ...string) []Flag { return []Flag{{key, name, values}} }
	cases := []struct {
		name string
		in   Input
		yml  string
		env  []string
		key  string
		want string
	}{
		{name: "default", key: "concurrency", want: "10 from default"},
		{name: "Rails", key: "concurrency", env: []string{"RAILS_MAX_THREADS=4"}, want: "4 from RAILS_MAX_THREADS"},
		{name: "file over Rails", key: "concurrency", env: []string{"RAILS_MAX_THREADS=4"}, yml: "tag: x\nconcurrency: 5\n", want: "5 from ebb.yml:2"},
		{name: "variable over file", key: "concurrency", env: []string{"EBB_CONCURRENCY=6"}, yml: "concurrency: 5", want: "6 from EBB_CONCURRENCY"},
		{name: "flag over all", key: "concurrency", env: []string{"EBB_CONCURRENCY=6"}, yml: "concurrency: 5",
			in: Input{Flags: flag("concurrency", "-c", "7")}, want: "7 from flag -c"},
		{name: "an empty variable is none", key: "concurrency", env: []string{"EBB_CONCURRENCY="}, yml: "concurrency: 5", want: "5 from ebb.yml:1"},

		{name: "no store", key: "store", want: "sqlite:ebb.db from default"},
		{name: "Redis by its URL", key: "store", env: []string{"REDIS_URL=redis://cache/1"}, want: "redis://cache/1 from REDIS_URL"},
		{name: "Redis by its provider", key: "store", env: []string{"REDIS_URL=redis://cache/1", "REDIS_PROVIDER=MY_REDIS", "MY_REDIS=redis://u:secret@mine/2"},
			want: "redis://u:***@mine/2 from MY_REDIS (by REDIS_PROVIDER)"},
		{name: "a provider that is not set leaves the URL", key: "store", env: []string{"REDIS_URL=redis://cache/1", "REDIS_PROVIDER=MY_REDIS"},
			want: "redis://cache/1 from REDIS_URL"},
		{name: "file over Redis", key: "store", yml: "store: sqlite:jobs.db", env: []string{"REDIS_URL=redis://cache/1"}, want: "sqlite:jobs.db from ebb.yml:1"},

		{name: "grace on Kubernetes", key: "grace", env: []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}, want: "30s from Kubernetes"},
		{name: "grace by timeout alone", key: "grace", yml: "timeout: 25", env: []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}, want: "27.777777777s from timeout (ebb.yml:1)"},
		{name: "grace of the only group", key: "grace", yml: "grace: 30s\ngroups:\n  heavy: {queues: [a], grace: 15m}\n", want: "15m from ebb.yml:3"},
		{name: "grace of several groups", key: "grace", yml: "groups:\n  heavy: {queues: [a], grace: 15m}\n  fast: {queues: b, grace: 30s}\n",
			want: "15m from ebb.yml:2, the longest of all groups that run"},
		{name: "grace of the group that is chosen", key: "grace", in: Input{Groups: []string{"fast"}},
			yml: "groups:\n  heavy: {queues: [a], grace: 15m}\n  fast: {queues: b, grace: 30s}\n", want: "30s from ebb.yml:3"},
		{name: "a variable over a group's grace", key: "grace", yml: "groups: {heavy: {queues: [a], grace: 15m}}", env: []string{"EBB_GRACE=40"}, want: "40s from EBB_GRACE"},
		{name: "a group that does not run has no say", key: "grace", yml: "grace: 20s\nqueues: [b]\ngroups: {heavy: {queues: [a], grace: 15m}}", want: "20s from ebb.yml:1"},

		{name: "queues from a variable", key: "queues", env: []string{"EBB_QUEUES=critical,3 default"}, want: "critical,3 default from EBB_QUEUES"},
		{name: "queues from flags", key: "queues", yml: "queues: [x]", in: Input{Flags: flag("queues", "-q", "critical,3", "default")}, want: "critical,3 default from flag -q"},
		{name: "no queues", key: "queues", want: "default from default"},
		{name: "groups only", key: "queues", yml: "groups: {a: {queues: [a]}}", want: ""},
		{name: "labels from a variable", key: "labels", env: []string{"EBB_LABELS=blue green"}, want: "blue green from EBB_LABELS"},
		{name: "a word for a list", key: "labels", yml: "labels: blue", want: "blue from ebb.yml:1"},
		{name: "a release as it is written", key: "release", yml: "release: 1.10", want: "1.10 from ebb.yml:1"},
		{name: "below a key", key: "lease.cut_off", yml: "lease:\n  ttl: 4s\n  cut_off: end\n", want: "end from ebb.yml:3"},
		{name: "a beat that suits its lease", key: "lease.beat", yml: "lease: {ttl: 4s}", want: "500ms from default"},
		{name: "yes", key: "readonly", env: []string{"EBB_READONLY=1"}, want: "true from EBB_READONLY"},
		{name: "hours", key: "dead.age", want: "4320h from default"},
		{name: "poison", key: "poison", want: "3 from default"},
		{name: "poison that is never proven", key: "poison", yml: "poison: 5", env: []string{"EBB_POISON=never"}, want: "never from EBB_POISON"},
		{name: "poison from a flag", key: "poison", yml: "poison: never", in: Input{Flags: flag("poison", "--poison", "5")}, want: "5 from flag --poison"},
		{name: "by an anchor", key: "tag", yml: "x-name: &name shop\ntag: *name\n", want: "shop from ebb.yml:2"},
		{name: "merged", key: "lease.ttl", yml: "x-lease: &lease\n  ttl: 4s\n  beat: 1s\nlease:\n  <<: *lease\n  beat: 500ms\n", want: "4s from ebb.yml:2"},
		{name: "merged and overridden", key: "lease.beat", yml: "x-lease: &lease\n  ttl: 4s\n  beat: 1s\nlease:\n  <<: [*lease]\n  beat: 500ms\n", want: "500ms from ebb.yml:6"},
		{name: "an empty file", key: "tag", yml: "", want: " from default"},
		{name: "only comments", key: "tag", yml: "# nothing\n---\n# yet\n", want: " from default"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := value(mustLoad(t, c.in, c.yml, c.env...), c.key); got != c.want {
				t.Errorf("%s is %q, want %q", c.key, got, c.want)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		in   Input
		yml  string
		env  []string
		want []string
	}{
		{name: "a typo", yml: "tag: x\nconcurency: 5", want: []string{`ebb.yml:2:1: unknown key "concurency": did you mean concurrency?`}},
		{name: "a typo below", yml: "lease:\n  tll: 5s", want: []string{`ebb.yml:2:3: unknown key "tll": did you mean ttl?`}},
		{name: "nothing near", yml: "dead: {colour: red}", want: []string{`ebb.yml:1:8: unknown key "colour": there are age, max`}},
		{name: "in the wrong place", yml: "ttl: 5s", want: []string{`ebb.yml:1:1: unknown key "ttl": it belongs below lease`}},
		{name: "no duration", yml: "grace: soon", want: []string{`ebb.yml:1:8: grace: want a duration such as 30s, 5m or a number of seconds, got "soon"`}},
		{name: "no time at all", yml: "grace: 0", want: []string{`ebb.yml:1:8: grace: want a duration such as 30s, 5m or a number of seconds, got "0"`}},
		{name: "a negative time", yml: "timeout: -5", want: []string{`ebb.yml:1:10: timeout: want a duration such as 30s, 5m or a number of seconds, got "-5"`}},
		{name: "a list for a number", yml: "concurrency: [1]", want: []string{`ebb.yml:1:14: want a whole number above zero, got a list`}},
		{name: "nothing for a number", yml: "concurrency:\n", want: []string{`ebb.yml:1:13: want a whole number above zero, got nothing`}},
		{name: "more slots than there is memory", yml: "concurrency: 99999999999", want: []string{`ebb.yml:1:14: concurrency: 99999999999 are more than the 1000000 that can be`}},
		{name: "half a slot", yml: "concurrency: 1.5", want: []string{`ebb.yml:1:14: concurrency: want a whole number above zero, got "1.5"`}},
		{name: "poison of one crash too many", yml: "poison: 11", want: []string{`ebb.yml:1:9: poison: want a whole number from 1 to 10, or never, got "11"`}},
		{name: "no poison", yml: "poison: 0", want: []string{`ebb.yml:1:9: poison: want a whole number from 1 to 10, or never, got "0"`}},
		{name: "no choice", yml: "log: {level: debuk}", want: []string{`ebb.yml:1:14: log.level: want one of debug, info, warn, error, got "debuk": did you mean debug?`}},
		{name: "a tag", yml: "tag: !secret x", want: []string{`ebb.yml:1:6: want a text, got something of the type !secret`}},
		{name: "twice", yml: "tag: a\ntag: b", want: []string{`ebb.yml:2:1: tag is there twice, first in line 1`}},
		{name: "a key that is a list", yml: "[a]: b", want: []string{`ebb.yml:1:1: want a word as the key, got a list`}},
		{name: "a section that is none", yml: "lease: 5", want: []string{`ebb.yml:1:8: want keys and values such as ttl, got "5"`}},
		{name: "a list for a file", yml: "- a", want: []string{`ebb.yml:1:1: want lines of the form key: value, got a list`}},
		{name: "a text for a file", yml: "redis://user:secret@host/0", want: []string{`ebb.yml:1:1: want lines of the form key: value, got "redis://user:***@host/0"`}},
		{name: "two documents", yml: "tag: a\n---\ntag: b\n", want: []string{`ebb.yml:2:1: a second document begins here, and only one is read`}},
		{name: "no YAML", yml: "tag: a\nqueues: [a\ngrace: 5\n", want: []string{`ebb.yml:2: this is not YAML: did not find expected ',' or ']'`}},
		{name: "no YAML in the first line", yml: "queues: [a", want: []string{`ebb.yml:1: this is not YAML: did not find expected ',' or ']'`}},
		{name: "no colon", yml: "tag: a\nqueues\ngrace: 5\n", want: []string{`ebb.yml:2: this is not YAML: could not find expected ':'`}},
		{name: "a key too far to the right", yml: "tag: a\n\n  grace: 5\n", want: []string{`ebb.yml:3: this is not YAML: mapping values are not allowed in this context`}},
		{name: "a key too far to the left", yml: "lease:\n    ttl: 5s\n  beat: 1s\n", want: []string{`ebb.yml:3: this is not YAML: did not find expected key`}},
		{name: "a quote left open", yml: "tag: a\nrelease: 'b\n", want: []string{`ebb.yml:2: this is not YAML: found unexpected end of stream`}},
		{name: "a tab", yml: "lease:\n\tttl: 5s\n", want: []string{`ebb.yml:2: this is not YAML: found character that cannot start any token (the line begins with a tab, and YAML is indented by spaces)`}},
		{name: "an unknown anchor", yml: "tag: *x", want: []string{`ebb.yml:1: this is not YAML: unknown anchor 'x' referenced`}},
		{name: "binary", yml: "\x7fELF\x02\x01\x01\x00", want: []string{`ebb.yml:1: this is not YAML: control characters are not allowed`}},

		{name: "no queues", yml: "queues: []", want: []string{`ebb.yml:1:1: queues: there is none`}},
		{name: "weight 0", yml: "queues: [[a, 0]]", want: []string{`ebb.yml:1:10: the weight of queue a must be a whole number above zero, and is "0"`}},
		{name: "weight -1", yml: "queues:\n- a\n- b,-1", want: []string{`ebb.yml:3:3: the weight of queue b must be a whole number above zero, and is "-1"`}},
		{name: "weight of words", yml: "queues: [{a: heavy}]", want: []string{`ebb.yml:1:11: the weight of queue a must be a whole number above zero, and is "heavy"`}},
		{name: "weight that is a list", yml: "queues: {a: [1]}", want: []string{`ebb.yml:1:10: the weight of queue a must be a whole number above zero, and is a list`}},
		{name: "no weight after the comma", yml: "queues: ['a,']", want: []string{`ebb.yml:1:10: the weight of queue a must be a whole number above zero, and is ""`}},
		{name: "three words", yml: "queues: [[a, 1, 2]]", want: []string{`ebb.yml:1:10: want [name, weight], got a list of 3`}},
		{name: "a queue twice", yml: "queues: [a, [a, 2]]", want: []string{`ebb.yml:1:13: queue a is there twice`}},
		{name: "a queue with a space", yml: "queues: [a b]", want: []string{`ebb.yml:1:10: the name "a b" has white space or a control character in it`}},
		{name: "a queue with braces", yml: "queues: ['{a}']", want: []string{`ebb.yml:1:10: queue "{a}" has a brace in it`}},

		{name: "a group without queues", yml: "groups:\n  heavy: {concurrency: 2}", want: []string{`ebb.yml:2:3: the group heavy has no queues`}},
		{name: "an empty group", yml: "groups:\n  heavy:\n", want: []string{`ebb.yml:2:3: the group heavy has no queues`}},
		{name: "a typo in a group", yml: "groups: {heavy: {queue: [a]}}", want: []string{
			`ebb.yml:1:10: the group heavy has no queues`, `ebb.yml:1:18: unknown key "queue": did you mean queues?`}},
		{name: "a group's concurrency", yml: "groups: {heavy: {queues: a, concurrency: 0}}",
			want: []string{`ebb.yml:1:42: concurrency: want a whole number above zero, got "0"`}},
		{name: "an unknown group", in: Input{Groups: []string{"haevy"}}, yml: "groups: {heavy: {queues: a}, fast: {queues: b}}",
			want: []string{`flag --group: unknown group "haevy": did you mean heavy?`}},
		{name: "a group where there are none", in: Input{Groups: []string{"heavy"}}, want: []string{`flag --group: unknown group "heavy": there are none`}},
		{name: "a group and queues", in: Input{Groups: []string{"heavy"}, Flags: []Flag{{"queues", "-q", []string{"a"}}, {"concurrency", "-c", []string{"5"}}}},
			yml: "groups: {heavy: {queues: a}}", want: []string{
				`flag -q: this does not go with --group, since a group brings queues and slots of its own: leave one of the two out`,
				`flag -c: this does not go with --group, since a group brings queues and slots of its own: leave one of the two out`}},

		{name: "no command", yml: "handlers: {A: {timeout: 5}}", want: []string{`ebb.yml:1:12: the handler of A has no command`}},
		{name: "an empty command", yml: "handlers: {A: {command: []}}", want: []string{`ebb.yml:1:16: command: there is none`}},
		{name: "a command as a text", yml: "handlers: {A: {command: ./resize --fast}}",
			want: []string{`ebb.yml:1:25: want the command as a list, got a text: write command: [./resize, --fast]`}},
		{name: "an unknown signal", yml: "handlers: {A: {command: [a], notice: SIGUSER1}}",
			want: []string{`ebb.yml:1:38: notice: unknown signal "USER1": did you mean USR1?`}},
		{name: "TERM as a notice", yml: "handlers: {A: {command: [a], notice: TERM}}",
			want: []string{`ebb.yml:1:38: notice: TERM comes by itself when the job's time is over; a notice comes before, such as USR1`}},
		{name: "KILL as a notice", yml: "handlers: {A: {command: [a], notice: SIGKILL}}", want: []string{`ebb.yml:1:38: notice: a program cannot hear KILL`}},
		{name: "a negative retry", yml: "handlers: {A: {command: [a], retry: -1}}",
			want: []string{`ebb.yml:1:37: retry: want a whole number, or false for never, got "-1"`}},
		{name: "variables as a text", yml: "handlers: {A: {command: [a], env: 'KEY=secret'}}", want: []string{`ebb.yml:1:35: env: want keys and values, such as LANG: C`}},
		{name: "a variable's name", yml: "handlers: {A: {command: [a], env: {'A=B': secret}}}",
			want: []string{`ebb.yml:1:36: env: "A=B" cannot be the name of a variable`}},
		{name: "a typo in a handler", yml: "handlers: {A: {command: [a], timout: 5}}", want: []string{`ebb.yml:1:30: unknown key "timout": did you mean timeout?`}},

		{name: "all at once", in: Input{Flags: []Flag{{"timeout", "-t", []string{"soon"}}}}, env: []string{"EBB_CONCURRENCY=many"},
			yml: "grase: 5\nconcurrency: 0\n", want: []string{
				`ebb.yml:1:1: unknown key "grase": did you mean grace?`,
				`ebb.yml:2:14: concurrency: want a whole number above zero, got "0"`,
				`EBB_CONCURRENCY: concurrency: want a whole number above zero, got "many"`,
				`flag -t: timeout: want a duration such as 30s, 5m or a number of seconds, got "soon"`}},
		{name: "queues of a flag", in: Input{Flags: []Flag{{"queues", "-q", []string{"a,3", "a"}}}}, want: []string{`flag -q: queues: a is there twice`}},
		{name: "a timeout as long as grace", yml: "grace: 30s\ntimeout: 30", want: []string{`ebb.yml:2:10: timeout: 30s is not less than the grace of 30s (ebb.yml:1)`}},
		{name: "a slow beat", yml: "lease:\n  ttl: 4s\n  beat: 2s", want: []string{`ebb.yml:3:9: lease.ttl: 4s is less than four times the beat of 2s`}},
		{name: "a short lease", yml: "lease: {ttl: 20ms}", want: []string{`ebb.yml:1:14: lease.beat: 2.5ms is less than 10ms`}},
		{name: "a provider that is a URL", env: []string{"REDIS_PROVIDER=redis://:secret@host"}, want: []string{`REDIS_PROVIDER: this names the variable that has the URL, and is no URL itself`}},
		{name: "a provider that is not set", env: []string{"REDIS_PROVIDER=MINE"}, want: []string{`REDIS_PROVIDER: this names MINE, which is not set`}},
		{name: "a file that is not there", in: Input{File: "my.yml"}, want: []string{`my.yml: there is no such file, and the flag -C names it`}},
		{name: "the same by a variable", env: []string{"EBB_CONFIG=my.yml"}, want: []string{`my.yml: there is no such file, and EBB_CONFIG names it`}},
		{name: "a folder for a file", in: Input{File: "."}, want: []string{`.: is a directory`}},

		{name: "too large", yml: "tag: " + strings.Repeat("x", 10<<20), want: []string{`ebb.yml: this is larger than 1024 KiB, and no settings file`}},
		{name: "too deep", yml: strings.Repeat("[", 5000) + strings.Repeat("]", 5000), want: []string{`ebb.yml:1:34: this is nested more than 32 deep`}},
		{name: "far too deep", yml: strings.Repeat("[", 500_000), want: []string{`ebb.yml:1: this is not YAML: exceeded max depth of 10000`}},
		{name: "an alias bomb", yml: bomb(12), want: []string{`ebb.yml:6:6: with all aliases written out there are more than 100000 values`}},
		{name: "an anchor in itself", yml: "x-a: &a [*a]\nqueues: *a\n", want: []string{`ebb.yml:1:6: the anchor "a" contains itself`}},
		{name: "a merge of itself", yml: "lease: &a {<<: *a}\n", want: []string{`ebb.yml:1:8: the anchor "a" contains itself`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := load(t, c.in, c.yml, c.env...)
			if diff := cmp.Diff(c.want, problems(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// bomb is a file in which each of n lines has the one before it nine times.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("x-0: &a0 [x]\n")
	for i := range n {
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 9), ","))
	}
	return b.String()
}

func TestProcess(t *testing.T) {
	t.Parallel()
	const groups = "concurrency: 4\ngroups:\n  heavy: {queues: [reports], concurrency: 2, grace: 15m}\n  fast: {queues: [[a, 3], b]}\n"
	heavy := ebb.Group{Name: "heavy", Queues: []string{"reports"}, Concurrency: 2}
	fast := ebb.Group{Name: "fast", Queues: []string{"a", "b"}, Weights: map[string]int{"a": 3, "b": 1}, Concurrency: 4}
	cases := []struct {
		name string
		in   Input
		yml  string
		want ebb.Config
	}{
		{name: "nothing said", want: ebb.Config{Queues: []string{"default"}}},
		{name: "strict", yml: "queues: [a, b]", want: ebb.Config{Queues: []string{"a", "b"}}},
		{name: "weighted", yml: "queues: ['a,2', b, {c: 1}]", want: ebb.Config{Queues: []string{"a", "b", "c"}, Weights: map[string]int{"a": 2, "b": 1, "c": 1}}},
		{name: "all weights as a mapping", yml: "queues: {a: 2, b: 1}", want: ebb.Config{Queues: []string{"a", "b"}, Weights: map[string]int{"a": 2, "b": 1}}},
		{name: "all groups", yml: groups, want: ebb.Config{Groups: []ebb.Group{heavy, fast}, Stop: ebb.StopConfig{Grace: 15 * time.Minute}}},
		{name: "one group", in: Input{Groups: []string{"fast"}}, yml: groups, want: ebb.Config{Groups: []ebb.Group{fast}}},
		{name: "a group named twice", in: Input{Groups: []string{"fast", "fast"}}, yml: groups, want: ebb.Config{Groups: []ebb.Group{fast}}},
		{name: "queues beside groups", yml: groups + "queues: c\n", want: ebb.Config{Queues: []string{"c"}, Concurrency: 4}},
		{name: "queues on the command line", in: Input{Flags: []Flag{{"queues", "-q", []string{"c"}}, {"concurrency", "-c", []string{"1"}}}}, yml: groups,
			want: ebb.Config{Queues: []string{"c"}, Concurrency: 1}},
		{name: "all the rest", yml: "grace: 2m\ntimeout: 90\nrelease: v1\ntag: shop\nlabels: [a, b]\nsocket: none\npoison: never\ndead: {max: 5, age: 1h}\nlease: {ttl: 8s, beat: 1s, poll: 2s, cut_off: end}\n",
			want: ebb.Config{
				Queues: []string{"default"}, Release: "v1", Tag: "shop", Labels: []string{"a", "b"}, Socket: ebb.NoSocket, Poison: -1,
				Stop: ebb.StopConfig{Grace: 2 * time.Minute, Timeout: 90 * time.Second}, Dead: ebb.DeadConfig{Max: 5, Age: time.Hour},
				Lease: ebb.LeaseConfig{TTL: 8 * time.Second, Beat: time.Second, Poll: 2 * time.Second, CutOff: ebb.EndJobs},
			}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, mustLoad(t, c.in, c.yml).Process()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestHandlers(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, Input{}, `
x-usual: &usual
  timeout: 5m
  env: {LANG: C, TOKEN: secret}
handlers:
  Resize:
    <<: *usual
    command: [./resize, "--name=a b", 1.50]
    notice: sigusr1
    snooze: 90
    retry: 3
    dir: tools
  Never: {command: [false], retry: false}
  Usual: {command: [true], retry: true}
`)
	want := []Handler{
		{Retry: new(3), Spec: command.Spec{
			Kind: "Resize", Argv: []string{"./resize", "--name=a b", "1.50"}, Dir: "tools", Env: []string{"LANG=C", "TOKEN=secret"},
			Timeout: 5 * time.Minute, Notice: signals["USR1"], Snooze: 90 * time.Second,
		}},
		{Retry: new(0), Spec: command.Spec{Kind: "Never", Argv: []string{"false"}}},
		{Spec: command.Spec{Kind: "Usual", Argv: []string{"true"}}},
	}
	if diff := cmp.Diff(want, s.Handlers); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for key, want := range map[string]string{
		"handlers.Resize.command": `./resize "--name=a b" 1.50 from ebb.yml:8`,
		"handlers.Resize.timeout": "5m from ebb.yml:3",
		"handlers.Resize.env":     "LANG TOKEN from ebb.yml:4",
		"handlers.Resize.notice":  "USR1 from ebb.yml:9",
		"handlers.Never.retry":    "0 from ebb.yml:13",
	} {
		if got := value(s, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestFileIsFound(t *testing.T) {
	t.Parallel()
	dir := folder(t, "ebb.yaml", "tag: second")
	s, err := Load(Input{Getenv: env(), Dir: dir})
	if err != nil || s.File != "ebb.yaml" || s.Tag != "second" || len(s.Warnings) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ebb.yml"), []byte("tag: first"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Load(Input{Getenv: env(), Dir: dir})
	if err != nil || s.File != "ebb.yml" || s.Tag != "first" || len(s.Warnings) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := Load(Input{Getenv: env("EBB_CONFIG=ebb.yaml"), Dir: dir}); err != nil || s.Tag != "second" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := Load(Input{Getenv: env(), Dir: t.TempDir()}); err != nil || s.File != "" {
		t.Errorf("%+v, %v", s, err)
	}
}

// Each key's table entry is of use: it is explained, and a variable says it if it is
// plain.
func TestKeys(t *testing.T) {
	t.Parallel()
	for k := range Keys() {
		if k.Meaning == "" {
			t.Errorf("%s is not explained", k.Name)
		}
		want := "EBB_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
		if strings.ContainsAny(k.Name, "NK") { // below NAME or KIND
			want = ""
		}
		if k.Env != want {
			t.Errorf("%s has the variable %q, want %q", k.Name, k.Env, want)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add("queues: [a, [b, 2], {c: 1}]\ngroups: {g: {queues: [d]}}\n")
	f.Add("handlers: {A: {command: [a], env: {B: c}, notice: USR1}}\n")
	f.Add(bomb(3))
	f.Add(":queues:\n- [a, 1]\nproduction:\n  :concurrency: 3\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"ebb.yml", "sidekiq.yml"} {
			l := &loader{in: Input{Getenv: env()}, s: &Settings{from: map[string]origin{}}}
			l.text(name, []byte(text))
			l.choose()
			l.judge()
			l.s.Process()
			for e := range l.s.Entries() {
				if e.Key == "" || e.Source == "" {
					t.Errorf("%+v", e)
				}
			}
		}
	})
}
