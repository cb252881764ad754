package ebb

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
)

// secretive is a store whose URL has a password.
type secretive struct{ *memstore.Store }

func (secretive) Describe() store.Description {
	return store.Description{URL: store.Redact("redis://user:secret@host:6379/0")}
}

func TestSettingsAreTold(t *testing.T) {
	t.Setenv("EBB_GRACE", "")
	for name, tt := range map[string]struct {
		config Config
		want   []string // name=value (from)
	}{
		"defaults": {Config{}, []string{
			"queues=default (default)", "concurrency=10 (default)", "lease.ttl=12s (default)", "lease.beat=750ms (default)",
		}},
		"of the program": {
			Config{Queues: []string{"a", "b"}, Weights: map[string]int{"a": 3}, Concurrency: 4, Stop: StopConfig{Grace: 40 * time.Second},
				Lease: LeaseConfig{TTL: 8 * time.Second, CutOff: EndJobs}, Release: "r1", Groups: []Group{{Name: "heavy", Queues: []string{"x"}}}},
			[]string{
				"queues=a,3 b,1 (program)", "concurrency=4 (program)", "groups.heavy.queues=x (program)", "groups.heavy.concurrency=10 (default)",
				"grace=40s (as configured)", "lease.ttl=8s (program)", "lease.beat=750ms (default)", "lease.cut_off=end (program)", "release=r1 (program)",
			},
		},
		"of ebb.yml": {
			Config{Queues: []string{"a"}, Stop: StopConfig{Grace: 40 * time.Second}, Release: "r1", Origins: map[string]string{"grace": "EBB_GRACE", "queues": "ebb.yml:3", "store": "flag --store"}},
			[]string{"store=redis://user:***@host:6379/0 (flag --store)", "queues=a (ebb.yml:3)", "grace=40s (EBB_GRACE)", "release=r1 (program)"},
		},
		"a timeout alone": {Config{Stop: StopConfig{Timeout: 20 * time.Second}}, []string{"timeout=20s (program)"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewProcess(NewClient(secretive{memstore.New(memstore.Options{})}), tt.config)
			o, _, err := p.options(true)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range p.settings(&o) {
				got = append(got, s.Name+"="+s.Value+" ("+s.From+")")
			}
			if strings.Contains(strings.Join(got, " "), "secret") {
				t.Errorf("a password is told: %q", got)
			}
			for _, want := range tt.want {
				if !slices.Contains(got, want) {
					t.Errorf("%s is missing: %q", want, got)
				}
			}
			if tt.config.Stop.Timeout > 0 && !slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, "(timeout)") }) {
				t.Errorf("the grace that a timeout makes is not told: %q", got)
			}
		})
	}
}

// What the log says at the start can be seen where processes are.
func TestWarningsAreTold(t *testing.T) {
	t.Setenv("EBB_GRACE", "")
	client := NewClient(memstore.New(memstore.Options{}))
	p := NewProcess(client, Config{Platform: PlatformConfig{Protect: ProtectECS}, Socket: NoSocket})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer p.Drain(t.Context())
	processes, err := client.store.Processes(t.Context())
	if err != nil || len(processes) != 1 {
		t.Fatalf("%d processes, %v", len(processes), err)
	}
	self := processes[0].Presence
	if len(self.Settings) == 0 || len(self.Warnings) == 0 || !strings.Contains(strings.Join(self.Warnings, " "), "ECS") {
		t.Errorf("settings %v, warnings %q", self.Settings, self.Warnings)
	}
	if diff := cmp.Diff("running", self.Turns[0].State); diff != "" {
		t.Error(diff)
	}
}
