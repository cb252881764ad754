package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMounted(t *testing.T) {
	client := ebb.NewClient(memstore.New(memstore.Options{}))
	handler, end, err := routes(client, "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	defer end()
	for name, c := range map[string]struct {
		path string
		edit func(*http.Request)
		want int
		has  string
	}{
		"without a password":  {"/jobs/", nil, 401, ""},
		"with it":             {"/jobs/", func(r *http.Request) { r.SetBasicAuth("ops", "s3cret") }, 200, `href="/jobs/queues"`},
		"not by the proxy":    {"/ops/", func(r *http.Request) { r.RemoteAddr = "192.0.2.7:5" }, 401, ""},
		"by the proxy":        {"/ops/", nil, 200, `href="/ops/queues"`},
		"the program's other": {"/", nil, 200, "the shop"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			r.RemoteAddr = "127.0.0.1:5"
			r.Header.Set("X-Forwarded-User", "ada")
			if c.edit != nil {
				c.edit(r)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.want || !strings.Contains(w.Body.String(), c.has) {
				t.Errorf("%d, want %d and %q:\n%s", w.Code, c.want, c.has, w.Body)
			}
		})
	}
}
