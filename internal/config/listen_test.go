package config

import "testing"

// An address is one of this machine's own unless another is named.
func TestListenAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"", ""}, {"none", ""},
		{"9394", "127.0.0.1:9394"}, {":9394", "127.0.0.1:9394"}, {"localhost:9394", "localhost:9394"},
		{"0.0.0.0:9394", "0.0.0.0:9394"}, {"[::]:9394", "[::]:9394"}, {"127.0.0.1:0", "127.0.0.1:0"},
	} {
		if got, err := (&Settings{Listen: test.text}).ListenAddress(); err != nil || got != test.want {
			t.Errorf("%q is %q, %v, want %q", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"worker", "here:http", "1.2.3.4", ":70000", "-1"} {
		if got, err := (&Settings{Listen: text}).ListenAddress(); err == nil {
			t.Errorf("%q is %q", text, got)
		}
		if _, err := Load(Input{Getenv: env("EBB_LISTEN=" + text), Dir: t.TempDir()}); err == nil {
			t.Errorf("EBB_LISTEN=%q is no mistake", text)
		}
	}
}
