package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb"
)

const rubySettings = `---
:verbose: true
:concurrency: 5
:timeout: 20
:tag: shop
:dead_max_jobs: 500
:dead_timeout_in_seconds: 3600
:queues:
  - [critical, 2]
  - :default
:scheduler:
  :enabled: true
:max_retries: 10
staging:
  :concurrency: 2
production:
  :concurrency: 12
  :queues:
    - critical
:capsules:
  single:
    :concurrency: 1
    :queues:
      - serial
`

func TestSidekiqSettings(t *testing.T) {
	t.Parallel()
	in := Input{File: "sidekiq.yml", Dir: folder(t, "sidekiq.yml", rubySettings)}
	config := ebb.Config{
		Queues: []string{"critical", "default"}, Weights: map[string]int{"critical": 2, "default": 1}, Concurrency: 5, Tag: "shop",
		Groups: []ebb.Group{{Name: "single", Queues: []string{"serial"}, Concurrency: 1}},
		Stop:   ebb.StopConfig{Timeout: 20 * time.Second}, Dead: ebb.DeadConfig{Max: 500, Age: time.Hour},
	}
	inProduction := config
	inProduction.Queues, inProduction.Weights, inProduction.Concurrency = []string{"critical"}, nil, 12
	inStaging := config
	inStaging.Concurrency = 2
	for name, c := range map[string]struct {
		environment string // by -e
		env         []string
		want        ebb.Config
	}{
		"development":     {want: config},
		"by the flag":     {"production", []string{"APP_ENV=staging"}, inProduction},
		"by APP_ENV":      {"", []string{"APP_ENV=staging", "RAILS_ENV=production"}, inStaging},
		"by RAILS_ENV":    {"", []string{"RAILS_ENV=production"}, inProduction},
		"by RACK_ENV":     {"", []string{"RACK_ENV=production"}, inProduction},
		"nobody's":        {"test", nil, config},
		"a key, no group": {"queues", nil, config},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := in
			in.Environment, in.Getenv = c.environment, env(c.env...)
			s, err := Load(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, s.Process()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			want := []Problem{
				{"sidekiq.yml:11:1", "scheduler means nothing here and is passed over"},
				{"sidekiq.yml:13:1", "max_retries means nothing here and is passed over: each kind of job says how often it is tried again, and 25 times if it does not"},
			}
			if diff := cmp.Diff(want, s.Warnings); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := value(s, "log.level"); got != "debug from sidekiq.yml:2" {
				t.Errorf("log.level is %s", got)
			}
		})
	}
}

func TestSidekiqByItsKeys(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, Input{}, ":concurrency: 3\n:capsules:\n  one: {queues: [a]}\n")
	if got := value(s, "concurrency"); got != "3 from ebb.yml:1" {
		t.Errorf("concurrency is %s", got)
	}
	// Sidekiq's own threads run the queue default beside all capsules.
	if got := s.Process().Queues; len(got) != 1 || got[0] != "default" {
		t.Errorf("queues are %v", got)
	}
}

// A weight of 0 is none to Sidekiq, whose order is strict if no queue has another.
func TestSidekiqWeightOfZero(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]int{
		":queues: [[a, 0], b]":      nil,
		":queues: [[a, 0], [b, 2]]": {"a": 1, "b": 2},
	} {
		if diff := cmp.Diff(want, mustLoad(t, Input{}, text).Process().Weights); diff != "" {
			t.Errorf("%s, -want +got:\n%s", text, diff)
		}
	}
}

// A capsule of the name default is Sidekiq's own, and nothing runs beside it.
func TestSidekiqOwnCapsule(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, Input{}, ":queues: [a]\n:capsules:\n  default: {queues: [b], concurrency: 3}\n").Process()
	want := []ebb.Group{{Name: "default", Queues: []string{"b"}, Concurrency: 3}}
	if diff := cmp.Diff(want, c.Groups); diff != "" || c.Queues != nil {
		t.Errorf("queues %v beside, -want +got:\n%s", c.Queues, diff)
	}
}

// Handlers come from ebb.yml, and what both files say from the one that was named.
func TestSidekiqOverOurs(t *testing.T) {
	t.Parallel()
	in := Input{Getenv: env(), File: "config.yml", Dir: folder(t, "config.yml", ":concurrency: 3\n:capsules:\n  one: {queues: [a]}\n")}
	ours := "concurrency: 9\ntag: shop\ngroups: {one: {queues: [b]}}\nhandlers: {A: {command: [a]}}\n"
	if err := os.WriteFile(filepath.Join(in.Dir, "ebb.yml"), []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"concurrency": "3 from config.yml:1", "groups.one.queues": "a from config.yml:3", "tag": "shop from ebb.yml:2", "handlers.A.command": "a from ebb.yml:4",
	} {
		if got := value(s, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestSidekiqMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"ERB": {":concurrency: 3\n:queues:\n  - <%= ENV['Q'] %>\n", []string{
			"sidekiq.yml:3:5: this is ERB, which is a program in Ruby and is not run here: write the value itself, or give it by a flag or an EBB_ variable"}},
		"ERB in the first column": {"<% x %>", []string{
			"sidekiq.yml:1:1: this is ERB, which is a program in Ruby and is not run here: write the value itself, or give it by a flag or an EBB_ variable"}},
		"a value":   {":concurrency: many", []string{`sidekiq.yml:1:15: concurrency: want a whole number above zero, got "many"`}},
		"weight -1": {":queues:\n- [a, -1]\n", []string{`sidekiq.yml:2:3: the weight of queue a must be a whole number above zero, and is "-1"`}},
		"a capsule": {":capsules:\n  one: {concurrency: 3}\n", []string{`sidekiq.yml:2:3: the group one has no queues`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Input{Getenv: env(), File: "sidekiq.yml", Dir: folder(t, "sidekiq.yml", c.text)})
			if diff := cmp.Diff(c.want, problems(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
