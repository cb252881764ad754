package spot

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a metadata service of the clouds in whose fields something is written.
type service struct {
	mu                 sync.Mutex
	ec2, gce, azure    string
	asked              int
	refuse, wrongToken bool
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	answer := ""
	switch {
	case s.refuse:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case s.ec2 != "" && r.Method == "PUT" && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
		s.wrongToken, answer = false, "token"
	case s.ec2 != "" && r.URL.Path == "/latest/meta-data/spot/instance-action":
		if r.Header.Get("X-aws-ec2-metadata-token") != "token" || s.wrongToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if s.ec2 != "none" {
			answer = s.ec2
		}
	case s.gce != "" && r.URL.Path == "/computeMetadata/v1/instance/preempted" && r.Header.Get("Metadata-Flavor") == "Google":
		w.Header().Set("Metadata-Flavor", "Google")
		answer = s.gce
	case s.azure != "" && r.URL.Path == "/metadata/instance/compute/name" && r.Header.Get("Metadata") == "true":
		answer = "worker_1"
	case s.azure != "" && r.URL.Path == "/metadata/scheduledevents" && r.Header.Get("Metadata") == "true":
		answer = s.azure
	}
	if answer == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	io.WriteString(w, answer)
}

// RoundTrip answers without a network, for a bubble.
func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

func (s *service) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func event(kind, resource, notBefore string) string {
	return `{"DocumentIncarnation":2,"Events":[{"EventId":"1","EventType":"` + kind + `","ResourceType":"VirtualMachine",` +
		`"Resources":["` + resource + `"],"EventStatus":"Scheduled","NotBefore":"` + notBefore + `"}]}`
}

func TestNotices(t *testing.T) {
	t.Parallel()
	hour := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const soon = -1
	for _, test := range []struct {
		name, cloud string
		service     *service
		wants       time.Duration // after hour; soon: some seconds from now; -2: nothing
	}{
		{"EC2 says nothing", "ec2", &service{ec2: "none"}, -2},
		{"EC2", "ec2", &service{ec2: `{"action":"terminate","time":"2026-11-22T10:02:00Z"}`}, 2 * time.Minute},
		{"EC2, with no hour", "ec2", &service{ec2: `{"action":"hibernate"}`}, soon},
		{"GCE says nothing", "gce", &service{gce: "FALSE"}, -2},
		{"GCE", "gce", &service{gce: "TRUE"}, soon},
		{"Azure says nothing", "azure", &service{azure: `{"DocumentIncarnation":1,"Events":[]}`}, -2},
		{"Azure", "azure", &service{azure: event("Preempt", "worker_1", "Sun, 22 Nov 2026 10:00:30 GMT")}, 30 * time.Second},
		{"Azure, begun", "azure", &service{azure: event("Terminate", "worker_1", "")}, soon},
		{"Azure, another machine", "azure", &service{azure: event("Preempt", "worker_2", "")}, -2},
		{"Azure, a pause", "azure", &service{azure: event("Freeze", "worker_1", "")}, -2},
		{"whichever it is", "auto", &service{azure: event("Preempt", "worker_1", "Sun, 22 Nov 2026 10:00:30 GMT")}, 30 * time.Second},
		{"none at all", "auto", &service{}, -2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.service)
			defer server.Close()
			w, err := New(test.cloud, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			w.base = server.URL
			_, got := w.look(t.Context())
			switch left := time.Until(got); {
			case test.wants == -2 && !got.IsZero(),
				test.wants == soon && (left <= 0 || left > 3*time.Minute),
				test.wants >= 0 && !got.Equal(hour.Add(test.wants)):
				t.Errorf("the machine goes at %v", got)
			}
		})
	}
	if _, err := New("moon", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("the moon is a cloud")
	}
}

// A notice is passed on once, within seconds, by a watcher that was refused before
// and whose token has run out.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ec2: "none"}
		var log strings.Builder
		w, err := New("auto", slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		w.client.Transport = s
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		var notices []time.Duration
		began := time.Now()
		go func() {
			defer close(ended)
			w.Run(ctx, func(cloud string, hour time.Time) {
				if cloud != "ec2" {
					t.Errorf("the notice is from %s", cloud)
				}
				notices = append(notices, time.Since(began), hour.Sub(began))
			})
		}()
		time.Sleep(time.Hour)
		s.set(func() { s.refuse = true })
		time.Sleep(time.Minute)
		s.set(func() { s.refuse, s.wrongToken = false, true })
		time.Sleep(time.Minute)
		hour := time.Now().Add(2 * time.Minute)
		s.set(func() { s.ec2 = `{"action":"stop","time":"` + hour.UTC().Format(time.RFC3339) + `"}` })
		time.Sleep(time.Minute)
		cancel()
		<-ended
		if len(notices) != 2 || notices[0] > time.Hour+2*time.Minute+often || notices[1] != time.Hour+4*time.Minute {
			t.Errorf("notices are %v", notices)
		}
		if got := strings.Count(log.String(), "level=WARN"); got < 1 || got > 2 {
			t.Errorf("%d warnings:\n%s", got, &log)
		}
	})
}
