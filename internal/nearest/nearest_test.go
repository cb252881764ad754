package nearest

import "testing"

func TestTo(t *testing.T) {
	t.Parallel()
	keys := []string{"concurrency", "queues", "queue", "grace", "groups", "log"}
	for name, c := range map[string]struct{ word, want string }{
		"a letter missing":  {"concurency", "concurrency"},
		"two swapped":       {"gruops", "groups"},
		"the same":          {"grace", "grace"},
		"the first of two":  {"queueX", "queues"},
		"a short word":      {"lgo", "log"},
		"too far":           {"handlers", ""},
		"nothing":           {"", ""},
		"letters of others": {"grâce", "grace"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := To(c.word, keys); got != c.want {
				t.Errorf("To(%q) = %q, want %q", c.word, got, c.want)
			}
		})
	}
	if got := To("x", nil); got != "" {
		t.Errorf("among none: %q", got)
	}
}
