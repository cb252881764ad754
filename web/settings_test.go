package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/store"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	ui := open(t, Options{ReadOnly: true, Role: func(User) Role { return Operator }})
	body := seePage(t, ui, "/settings", "These need script", "data-settings hidden", "operator, and these pages are read-only", "mem:", "30 d", "400 d", "10,000", "64 MiB")
	if strings.Contains(body, "not remembered") {
		t.Error("this store remembers")
	}
	if w := ask(ui, "POST", "/settings"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%d", w.Code)
	}
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	ui := open(t, Options{})
	for cookie, want := range map[string]string{
		"":                                      `">`,
		"ebb.theme=dark":                        `" data-theme="dark">`,
		"ebb.clock=utc; ebb.density=compact":    `" data-density="compact" data-clock="utc">`,
		"ebb.theme=dark; ebb.theme=light":       `" data-theme="dark">`, // the longer path comes first
		`ebb.theme=dark"onload=1; ebb.keys=off`: `">`,
	} {
		body := ask(ui, "GET", "/settings", func(r *http.Request) { r.Header.Set("Cookie", cookie) }).Body.String()
		_, tag, _ := strings.Cut(body, "data-assets=")
		tag, _, _ = strings.Cut(tag, "\n")
		if _, rest, _ := strings.Cut(strings.Trim(tag, `"`), `"`); `"`+rest != want {
			t.Errorf("with %q the page begins with %s", cookie, tag)
		}
	}
}

func TestIsTight(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tt := range map[string]struct {
		left, grace time.Duration
		want        bool
	}{
		"half way":        {time.Minute, 2 * time.Minute, false},
		"most of it":      {20 * time.Second, 2 * time.Minute, true},
		"all of it":       {-time.Second, 2 * time.Minute, true},
		"of an old beat":  {time.Second, 0, false},
		"a minute before": {25 * time.Second, 2 * time.Minute, false},
	} {
		if got := isTight(&store.Process{Presence: store.Presence{KillAt: now.Add(tt.left), Grace: tt.grace}}, now); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if isTight(&store.Process{Presence: store.Presence{Grace: time.Minute}}, now) {
		t.Error("nobody told it to stop")
	}
}
