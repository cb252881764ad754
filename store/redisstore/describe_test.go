package redisstore

import (
	"strings"
	"testing"
)

func TestDescribeServers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		info    map[string]string
		server  string
		warning string
	}{
		{"Redis", map[string]string{"redis_version": "7.0.15"}, "Redis 7.0.15", ""},
		{"the oldest", map[string]string{"redis_version": "6.2.0"}, "Redis 6.2.0", ""},
		{"too old", map[string]string{"redis_version": "6.0.16"}, "Redis 6.0.16", "older than 6.2"},
		{"Valkey 8", map[string]string{"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.1"}, "Valkey 8.1.1", ""},
		{"Valkey 7", map[string]string{"redis_version": "7.2.4", "server_name": "valkey"}, "Valkey 7.2.4", ""},
		{"hidden", nil, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := new(Store).describe(tt.info, func(string) string { return "" })
			if d.Server != tt.server {
				t.Errorf("server %q, want %q", d.Server, tt.server)
			}
			if got := strings.Join(d.Warnings, "\n"); !strings.Contains(got, tt.warning) || (tt.warning == "") != (got == "") {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
		})
	}
}
