package doctor

import "testing"

func TestExplain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"grace is 5m0s, but KILL may come after 2m0s: stopTimeout": "L05", "grace of 10s is assumed": "L06", "D07: no grace": "D07",
		"this process is a grandchild of PID 1 (sh)": "L01", "maxmemory-policy is allkeys-lru": "L09", "something else": "", "": "",
	} {
		if got, _ := Explain(text); got.ID != want {
			t.Errorf("%q: %q, want %q", text, got.ID, want)
		}
	}
}
