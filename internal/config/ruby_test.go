package config

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// asRuby prints what Sidekiq itself makes of settings files, each for the environment
// production.
const asRuby = `
require "sidekiq/cli"
require "json"
cli = Sidekiq::CLI.instance
cli.instance_variable_set(:@environment, "production")
puts JSON.generate(ARGV.map { |file|
  o = cli.send(:parse_config, file)
  { weights: (o[:queues] || ["default"]).tally, strict: o[:strict] != false,
    concurrency: o[:concurrency].to_i, timeout: o[:timeout].to_i, tag: o[:tag].to_s, labels: o[:labels] || [] }
})
`

// rubySays is what of settings Sidekiq and ebb both have.
type rubySays struct {
	Weights              map[string]int
	Strict               bool
	Concurrency, Timeout int
	Tag                  string
	Labels               []string
}

// TestSidekiqReadsTheSame: Sidekiq 6.4.1 makes the same of a file as ebb does, and as
// ebb does of the ebb.yml that is made of it.
func TestSidekiqReadsTheSame(t *testing.T) {
	t.Parallel()
	texts := []string{
		":queues: [a, b]\n:concurrency: 3\n:timeout: 20\n",
		":queues:\n- [a, 0]\n- b\n",
		":queues:\n- [a, 1]\n- [b, 1]\n:strict: true\n",
		":queues:\n- [a, 3]\n- b\n- :c\n:tag: shop\n:labels: [x, \"1\"]\n",
		"queues: [[a, 2]]\nproduction:\n  queues: [b]\n  concurrency: 9\nstaging: {concurrency: 2}\n",
		"base: &base {timeout: 4, queues: [z]}\nproduction:\n  <<: *base\n  concurrency: 7\n",
		"concurrency: 2\nproduction:\n",
	}
	args := []string{"-e", asRuby}
	dir := t.TempDir()
	for i, text := range texts {
		file := filepath.Join(dir, string(rune('a'+i))+".yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	ruby := exec.CommandContext(t.Context(), "ruby", args...)
	ruby.Env = append(os.Environ(), "RUBYOPT=-W0")
	said, err := ruby.Output()
	if err != nil {
		t.Fatalf("%v\n%s\nhint: apt-get install ruby-sidekiq", err, said)
	}
	var want []rubySays
	if err := json.Unmarshal(said, &want); err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		in := Input{Getenv: env(), File: "sidekiq.yml", Environment: "production"}
		direct, problems := loadText(in, in.File, text)
		if len(problems) > 0 {
			t.Fatalf("%v in\n%s", problems, text)
		}
		imported, err := importText(in, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]*Settings{"direct": direct, "imported": mustLoadWritten(t, imported.Text)} {
			c := s.Process()
			got := rubySays{c.Weights, c.Weights == nil, c.Concurrency, int(c.Stop.Timeout / time.Second), c.Tag, append([]string{}, c.Labels...)}
			if got.Strict {
				got.Weights = map[string]int{}
				for _, q := range c.Queues {
					got.Weights[q] = 1
				}
			}
			if diff := cmp.Diff(want[i], got); diff != "" {
				t.Errorf("%s, -Ruby +ebb:\n%s\n%s", name, diff, text)
			}
		}
	}
}
