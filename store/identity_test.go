package store

import (
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	t.Setenv("DYNO", "worker.1:{x}")
	t.Setenv("EBB_BOOT", "")
	a, b := NewIdentity(), NewIdentity()
	if a == b {
		t.Fatalf("two boots have one name: %s", a)
	}
	if got := strings.Count(string(a), ":"); got != 2 {
		t.Errorf("%s has %d colons, want 2", a, got)
	}
	if strings.ContainsAny(string(a), "{} ") {
		t.Errorf("%s has characters that keys are built from", a)
	}
	if a.Host() != "worker.1--x-" || a.PID() == 0 || a.Boot() != "" {
		t.Errorf("host %q, pid %d, boot %q of %s", a.Host(), a.PID(), a.Boot(), a)
	}
	if odd := Identity("odd"); odd.PID() != 0 || odd.Boot() != "" {
		t.Errorf("pid %d and boot %q of an odd identity", odd.PID(), odd.Boot())
	}
}

// TestIdentityHasItsBoot: all below one init share its word, and are told apart
// nonetheless.
func TestIdentityHasItsBoot(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"base32", "mfrggzdfmztwq2lknnwg", "mfrggzdfmztwq2lknnwg"},
		{"hex", "3fa9c1d04be07f3fa9c1d04b", "3fa9c1d04be07f3fa9c1d04b"},
		{"none", "", ""},
		{"too short to be the only one", "worker", ""},
		{"too long for a key", strings.Repeat("a", 65), ""},
		{"with what keys are built from", "mfrggzdf:mztwq2lknnwg", ""},
		{"in capitals", "MFRGGZDFMZTWQ2LKNNWG", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("EBB_BOOT", test.value)
			a, b := NewIdentity(), NewIdentity()
			if a == b {
				t.Errorf("two have one name: %s", a)
			}
			if a.Boot() != test.want || b.Boot() != test.want {
				t.Errorf("boots %q and %q, want %q", a.Boot(), b.Boot(), test.want)
			}
			if got := strings.Count(string(a), ":"); got != 2 || a.PID() == 0 {
				t.Errorf("%s has %d colons and pid %d", a, got, a.PID())
			}
		})
	}
}
