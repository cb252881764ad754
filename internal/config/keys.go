package config

import (
	"iter"
	"slices"
	"strings"

	"github.com/ebbjobs/ebb"
)

// Key is one setting, as `ebb config keys` and the documents explain it.
type Key struct {
	Name    string // in ebb.yml; a dot stands for a level of indentation
	Env     string // the variable that also says it; "" for none
	Default string
	Meaning string

	choices []string
	field   func(*Settings) any // where a plain value goes; nil: see file.go
}

// keys are all settings, in the order in which they are shown. Names in capitals
// stand for any name.
var keys = []Key{
	{Name: "store", Env: "EBB_STORE", Default: "sqlite:ebb.db",
		Meaning: "URL of the store: sqlite:FILE, redis://HOST:PORT/DB and others",
		field:   func(s *Settings) any { return &s.Store }},
	{Name: "queues", Env: "EBB_QUEUES", Default: "default",
		Meaning: "queues to run, the first foremost; with weights (name,weight) they share the slots"},
	{Name: "concurrency", Env: "EBB_CONCURRENCY", Default: "10",
		Meaning: "how many jobs run at once, and in each group that does not say",
		field:   func(s *Settings) any { return &s.Concurrency }},
	{Name: "groups.NAME.queues", Default: "none, there must be one",
		Meaning: "queues of a group, which has slots of its own; run it by ebb work --group NAME"},
	{Name: "groups.NAME.concurrency", Default: "that of concurrency",
		Meaning: "how many jobs of the group run at once"},
	{Name: "groups.NAME.grace", Default: "that of grace",
		Meaning: "grace of a process that runs the group; of several groups the longest counts"},
	{Name: "handlers.KIND.command", Default: "none, there must be one",
		Meaning: "the program that runs jobs of this kind and its arguments, as a list; no shell reads it"},
	{Name: "handlers.KIND.timeout", Default: "none",
		Meaning: "how long one run may take"},
	{Name: "handlers.KIND.notice", Default: "none",
		Meaning: "the signal that tells the program that a stop has begun, such as USR1"},
	{Name: "handlers.KIND.snooze", Default: "15s",
		Meaning: "how long a job rests whose program asks for another try, by exit 75"},
	{Name: "handlers.KIND.retry", Default: "25",
		Meaning: "how often a failed job is tried again; false for never"},
	{Name: "handlers.KIND.env", Default: "none",
		Meaning: "further variables for the program"},
	{Name: "handlers.KIND.dir", Default: "where ebb runs",
		Meaning: "the program's working folder"},
	{Name: "grace", Env: "EBB_GRACE", Default: "what the platform is known for, else 10s",
		Meaning: "time that the platform leaves between TERM and KILL",
		field:   func(s *Settings) any { return &s.Grace }},
	{Name: "timeout", Env: "EBB_TIMEOUT", Default: "what grace leaves",
		Meaning: "time that running jobs have from TERM on, less than grace; Sidekiq's -t",
		field:   func(s *Settings) any { return &s.Timeout }},
	{Name: "release", Env: "EBB_RELEASE",
		Meaning: "version of what runs here, for stop reports and rollouts",
		field:   func(s *Settings) any { return &s.Release }},
	{Name: "tag", Env: "EBB_TAG",
		Meaning: "what people call the application",
		field:   func(s *Settings) any { return &s.Tag }},
	{Name: "labels", Env: "EBB_LABELS",
		Meaning: "further words for the process",
		field:   func(s *Settings) any { return &s.Labels }},
	{Name: "lease.ttl", Env: "EBB_LEASE_TTL", Default: "12s",
		Meaning: "how long a process may be silent before others rescue its jobs",
		field:   func(s *Settings) any { return &s.Lease.TTL }},
	{Name: "lease.beat", Env: "EBB_LEASE_BEAT", Default: "750ms",
		Meaning: "time between two signs of life, at most a quarter of lease.ttl",
		field:   func(s *Settings) any { return &s.Lease.Beat }},
	{Name: "lease.poll", Env: "EBB_LEASE_POLL", Default: "5s",
		Meaning: "longest wait of one fetch",
		field:   func(s *Settings) any { return &s.Lease.Poll }},
	{Name: "lease.cut_off", Env: "EBB_LEASE_CUT_OFF", Default: "keep",
		Meaning: "what becomes of running jobs when the store does not answer for a lease: keep them, or end them",
		choices: []string{"keep", "end"},
		field:   func(s *Settings) any { return &s.Lease.CutOff }},
	{Name: "dead.max", Env: "EBB_DEAD_MAX", Default: "10000",
		Meaning: "how many jobs the dead set keeps",
		field:   func(s *Settings) any { return &s.Dead.Max }},
	{Name: "dead.age", Env: "EBB_DEAD_AGE", Default: "4320h",
		Meaning: "how long the dead set keeps a job",
		field:   func(s *Settings) any { return &s.Dead.Age }},
	{Name: "poison", Env: "EBB_POISON", Default: "3",
		Meaning: "how many crashes as the only suspect of its process bury a job, at most 10, or never",
		field:   func(s *Settings) any { return &s.Poison }},
	{Name: "log.format", Env: "EBB_LOG_FORMAT", Default: "auto",
		Meaning: "text, json, or auto: text on a terminal and JSON elsewhere",
		choices: []string{"auto", "text", "json"},
		field:   func(s *Settings) any { return &s.Log.Format }},
	{Name: "log.level", Env: "EBB_LOG_LEVEL", Default: "info",
		Meaning: "the least important line that is logged",
		choices: []string{"debug", "info", "warn", "error"},
		field:   func(s *Settings) any { return &s.Log.Level }},
	{Name: "socket", Env: "EBB_SOCKET", Default: "the first of /run/ebb, XDG_RUNTIME_DIR and TMPDIR",
		Meaning: "folder of the control socket, or none",
		field:   func(s *Settings) any { return &s.Socket }},
	{Name: "listen", Env: "EBB_LISTEN", Default: "none",
		Meaning: "HTTP address of ebb work for probes, drain hooks and metrics; a port alone is one of this machine's own, 0.0.0.0:PORT one for all",
		field:   func(s *Settings) any { return &s.Listen }},
	{Name: "protect", Env: "EBB_PROTECT", Default: "none",
		Meaning: "ask this platform not to scale in what runs here while there are jobs",
		choices: []string{ebb.ProtectECS},
		field:   func(s *Settings) any { return &s.Protect }},
	{Name: "pod_deletion_cost", Env: "EBB_POD_DELETION_COST", Default: "false",
		Meaning: "tell Kubernetes how many jobs run in this pod, so that it removes idle ones first",
		field:   func(s *Settings) any { return &s.PodDeletionCost }},
	{Name: "spot", Env: "EBB_SPOT", Default: "none",
		Meaning: "quiet when this cloud gives notice that it takes the machine back; auto finds out which cloud it is",
		choices: []string{ebb.SpotAuto, ebb.SpotEC2, ebb.SpotGCE, ebb.SpotAzure},
		field:   func(s *Settings) any { return &s.Spot }},
	{Name: "readonly", Env: "EBB_READONLY", Default: "false",
		Meaning: "refuse every change",
		field:   func(s *Settings) any { return &s.ReadOnly }},
}

// Keys walks all settings there are.
func Keys() iter.Seq[Key] { return slices.Values(keys) }

// plain finds the key of a plain value.
func plain(name string) *Key {
	for i := range keys {
		if keys[i].Name == name && keys[i].field != nil {
			return &keys[i]
		}
	}
	return nil
}

// within are the names that may follow a prefix such as "lease." in a file; the
// prefix "" has the first names of all.
func within(prefix string) (names []string) {
	for _, k := range keys {
		if rest, ok := strings.CutPrefix(k.Name, prefix); ok {
			name, _, _ := strings.Cut(rest, ".")
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
