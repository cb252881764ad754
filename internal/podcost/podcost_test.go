package podcost

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// apiServer is a Kubernetes API with one pod. It answers with what is written into
// its fields.
type apiServer struct {
	mu      sync.Mutex
	began   time.Time
	patches []string
	refuse  bool
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch {
	case s.refuse || r.Header.Get("Authorization") != "Bearer secret":
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"kind":"Status","message":"pods \"web-1\" is forbidden"}`)
	case r.Method != "PATCH" || r.URL.Path != "/api/v1/namespaces/shop/pods/web-1" || r.Header.Get("Content-Type") != "application/merge-patch+json":
		w.WriteHeader(http.StatusBadRequest)
	default:
		s.patches = append(s.patches, fmt.Sprintf("%v %s", time.Since(s.began), body))
		io.WriteString(w, `{"kind":"Pod"}`)
	}
}

// RoundTrip answers without a network, for a bubble.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

func (s *apiServer) set(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// pod is what the kubelet mounts into one.
func pod(t *testing.T, authority []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string][]byte{"ca.crt": authority, "namespace": []byte("shop\n"), "token": []byte("secret\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func patch(cost int) string {
	return fmt.Sprintf(`{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"%d"}}}`, cost)
}

func certificate(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// The API is spoken with over TLS, and only if it is the one that the pod knows.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	api := &apiServer{began: time.Now()}
	server := httptest.NewTLSServer(api)
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	here := env(map[string]string{"KUBERNETES_SERVICE_HOST": at.Hostname(), "KUBERNETES_SERVICE_PORT": at.Port(), "POD_NAME": "web-1"})
	teller, err := newTeller(here, pod(t, certificate(server)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := teller.patch(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if len(api.patches) != 1 || !strings.HasSuffix(api.patches[0], patch(3)) {
		t.Errorf("the API was told %q", api.patches)
	}
	api.set(true)
	if err := teller.patch(t.Context(), 4); err == nil || !strings.Contains(err.Error(), `pods "web-1" is forbidden`) {
		t.Errorf("a right that is missing: %v", err)
	}
	// One authority, and another server.
	teller.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = nil
	if err := teller.patch(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}

func inWorld(t *testing.T, test func(api *apiServer, busy *atomic.Int64, log fmt.Stringer, stop func())) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	authority := certificate(server)
	server.Close()
	dir := pod(t, authority)
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		teller, err := newTeller(env(map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "EBB_POD_NAME": "web-1"}), dir, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		api := &apiServer{began: time.Now()}
		teller.client.Transport = api
		var busy atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			teller.Run(ctx, func() int { return int(busy.Load()) })
		}()
		stop := func() { cancel(); <-ended }
		defer stop()
		test(api, &busy, &log, stop)
	})
}

// However often the number changes, it is told at most every 30 s, and only when it
// is another one.
func TestSeldom(t *testing.T) {
	inWorld(t, func(api *apiServer, busy *atomic.Int64, _ fmt.Stringer, stop func()) {
		time.Sleep(500 * time.Millisecond) // never at the moment of a look
		for i := range 90 {
			time.Sleep(time.Second)
			busy.Store(int64(min(i, 40)))
		}
		time.Sleep(time.Hour)
		stop()
		want := []string{"0s " + patch(0), "30s " + patch(28), "1m0s " + patch(40), "1h1m30.5s " + patch(0)}
		if diff := cmp.Diff(want, api.patches); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestARefusalIsLoggedOnce(t *testing.T) {
	inWorld(t, func(api *apiServer, busy *atomic.Int64, log fmt.Stringer, stop func()) {
		api.set(true)
		busy.Store(1)
		time.Sleep(time.Hour)
		api.set(false)
		time.Sleep(time.Hour)
		stop()
		if got := strings.Count(log.String(), "\n"); got < 2 || got > 3 { // the first look may have told 0
			t.Errorf("%d lines, want one for the refusal and one for its end:\n%s", got, log)
		}
	})
}

func TestWhatIsMissing(t *testing.T) {
	t.Parallel()
	kubernetes := map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
	named := map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "web-1"}
	for _, test := range []struct {
		name string
		env  map[string]string
		dir  string
		want string
	}{
		{"no Kubernetes", nil, pod(t, nil), "KUBERNETES_SERVICE_HOST"},
		{"no name", kubernetes, pod(t, nil), "EBB_POD_NAME"},
		{"no service account", named, t.TempDir(), "namespace"},
		{"no authority", named, pod(t, []byte("none")), "no certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := newTeller(env(test.env), test.dir, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}
