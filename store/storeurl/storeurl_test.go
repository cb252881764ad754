package storeurl_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/redistest"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/storeurl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpen(t *testing.T) {
	t.Parallel()
	plain := redistest.Start(t, redistest.UnixSocket())
	secret := redistest.Start(t, redistest.Password("pa/ss@w:rd%"))
	tests := []struct{ name, url, driver, shown string }{
		{"memory", "mem:", "mem", "mem:"},
		{"a named memory", "mem:a", "mem", "mem:a"},
		{"a file", "sqlite:" + filepath.Join(t.TempDir(), "ebb.db"), "sqlite", ""},
		{"redis", "redis://" + plain.Addr, "redis", "redis://" + plain.Addr},
		{"redis with a database", "redis://" + plain.Addr + "/3", "redis", "redis://" + plain.Addr + "/3"},
		{"redis in capitals", "REDIS://" + plain.Addr + "/0", "redis", ""},
		{"redis with a database as a parameter", "redis://" + plain.Addr + "?db=2", "redis", ""},
		{"redis with few connections", "redis://" + plain.Addr + "?connections=few", "redis", ""},
		{"redis with a password", "redis://:pa%2Fss%40w%3Ard%25@" + secret.Addr + "/0", "redis", "redis://***:***@" + secret.Addr + "/0"},
		{"redis with a user", "redis://default:pa%2Fss%40w%3Ard%25@" + secret.Addr, "redis", "redis://default:***@" + secret.Addr},
		{"a socket", "unix://" + plain.Socket, "redis", "unix://" + plain.Socket},
		{"a socket with a database", "unix://" + plain.Socket + "?db=4", "redis", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := storeurl.Open(t.Context(), tt.url)
			if err != nil {
				t.Fatalf("%v\nhint: %s", err, store.Hint(err))
			}
			defer s.Close()
			d := s.Describe()
			if d.Driver != tt.driver {
				t.Errorf("driver %q, want %q", d.Driver, tt.driver)
			}
			if tt.shown != "" && d.URL != tt.shown {
				t.Errorf("shown as %q, want %q", d.URL, tt.shown)
			}
		})
	}
}

func TestOpenWrong(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	tests := []struct{ name, url, says, hint string }{
		{"empty", "", "names no store", "sqlite:ebb.db"},
		{"no scheme", "localhost:6379", "names no store", "redis://localhost:6379/0"},
		{"another system", "postgres://u:" + secret + "@h/db", "names no store", "linked in: mem, redis"},
		{"no slashes", "redis:localhost:6379", `"//" is missing`, "redis://:password@localhost:6379/0"},
		{"one slash", "redis:/localhost", `"//" is missing`, "redis://"},
		{"a word for a database", "redis://localhost/jobs", `"jobs" is no number`, "localhost:6379/0"},
		{"two paths", "redis://localhost/0/1", `"0/1" is no number`, "localhost:6379/0"},
		{"a negative database", "redis://localhost/-1", `"-1" is no number`, "localhost:6379/0"},
		{"a port that is none", "redis://:" + secret + "@localhost:99999/0", `"99999" is no port`, "localhost:6379/0"},
		{"a word for a port", "redis://:" + secret + "@localhost:port/0", "%40", "localhost:6379/0"},
		{"a slash in the password", "redis://:hun/" + secret + "@localhost/0", "%2F", "localhost:6379/0"},
		{"a bad escape", "redis://:%zz" + secret + "@localhost/0", "%25", "localhost:6379/0"},
		{"an unknown parameter", "redis://localhost/0?cluster=yes", `no parameter "cluster"; there are db, layout`, "localhost:6379/0"},
		{"an unknown layout", "redis://localhost/0?layout=ring", `no layout "ring"; there are sidekiq and cluster`, "localhost:6379/0"},
		{"a database in a cluster", "redis://localhost/1?layout=cluster", "only database 0", "localhost:6379/0"},
		{"a word for replicas", "redis://localhost/0?wait=all", `not "all"`, "localhost:6379/0"},
		{"a socket without a path", "unix://", "path of the socket is missing", "unix:///run/redis/redis.sock?db=0"},
		{"a relative socket", "unix://redis.sock", `"redis.sock" is no host`, "unix:///run/redis/redis.sock?db=0"},
		{"sentinels without a name", "redis-sentinel://:" + secret + "@h1:26379,h2:26379", "name that the sentinels know", "h1:26379,host2:26379/mymaster/0"},
		{"sentinels with a bad port", "redis-sentinel://h1:1,h2:x/name", `"x" is no port`, "/mymaster/0"},
		{"sentinels with a bad database", "rediss-sentinel://h1/name/x", `"x" is no number`, "rediss-sentinel://"},
		{"a slash in a memory", "mem:a/b", "not a name", "mem:"},
		{"no file", "sqlite:", "names no file", "sqlite:ebb.db"},
		{"nobody there", "redis://:" + secret + "@127.0.0.1:1/0", "store unreachable", "redis-cli"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			s, err := storeurl.Open(ctx, tt.url)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			hint := store.Hint(err)
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
			if !strings.Contains(strings.ReplaceAll(hint, "host1", "h1"), tt.hint) {
				t.Errorf("hint %q does not show %q", hint, tt.hint)
			}
			if text := err.Error() + hint; strings.Contains(text, secret) {
				t.Errorf("%q tells the password", text)
			}
		})
	}
}
