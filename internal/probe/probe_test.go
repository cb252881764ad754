package probe

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/control"
	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a process with a real lifecycle, whose jobs end when the test says so.
type fake struct {
	mu      sync.Mutex
	machine *lifecycle.Machine
	jobs    int
	hangs   chan struct{} // Notice waits for it; nil: it does not
	ended   error
	started chan struct{}
}

func newFake(t *testing.T, jobs int) *fake {
	t.Helper()
	m, err := lifecycle.New(lifecycle.Config{Grace: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{machine: m, jobs: jobs, started: make(chan struct{})}
	close(f.started)
	return f
}

func (f *fake) Started() <-chan struct{} { return f.started }
func (f *fake) Err() error               { return f.ended }

func (f *fake) Status() control.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return control.Status{
		ID: "web1:17:abc", PID: 17, State: f.machine.State().String(), Why: f.machine.Why(),
		Deadlines: f.machine.Deadlines(), Busy: make([]store.Run, f.jobs),
	}
}

func (f *fake) Notice(e lifecycle.Event) error {
	if f.hangs != nil {
		<-f.hangs
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		return f.ended
	}
	f.machine.On(e, time.Now())
	return nil
}

func (f *fake) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = 0
}

func (f *fake) handler(grace time.Duration) http.Handler {
	return New(Options{
		Process: func() Process {
			if f == nil {
				return nil
			}
			return f
		},
		Grace: func() time.Duration { return grace },
	})
}

// ask sends a request as the kubelet does, by address.
func ask(t *testing.T, h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Host = "10.1.2.3:9394"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	told := func(kinds ...lifecycle.Kind) func(*fake) {
		return func(f *fake) {
			for _, kind := range kinds {
				f.machine.On(lifecycle.Event{Kind: kind}, time.Now())
			}
		}
	}
	for _, test := range []struct {
		name        string
		before      func(*fake) // nil: the process is not started
		live, ready int
		body        string // of /ready
	}{
		{"not started", nil, 200, 503, "not started"},
		{"running", told(), 200, 200, "running"},
		{"not registered", func(f *fake) { f.started = make(chan struct{}) }, 200, 503, "not registered with its store"},
		{"quiet", told(lifecycle.Quiet), 200, 503, "quiet"},
		{"draining", told(lifecycle.Stop), 200, 503, "draining"},
		{"ended well", told(lifecycle.Stop, lifecycle.Idle), 200, 503, "stopped"},
		{"resumed", told(lifecycle.Quiet, lifecycle.Resume), 200, 200, "running"},
		{"refused by its store", func(f *fake) {
			f.started, f.ended = make(chan struct{}), errors.New("refused")
		}, 503, 503, "not registered with its store"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var f *fake
			if test.before != nil {
				f = newFake(t, 3)
				test.before(f)
			}
			h := f.handler(0)
			if got := ask(t, h, "GET", "/live"); got.Code != test.live {
				t.Errorf("/live: %d %s", got.Code, got.Body)
			}
			if got := ask(t, h, "GET", "/ready"); got.Code != test.ready || strings.TrimSpace(got.Body.String()) != test.body {
				t.Errorf("/ready: %d %s, want %d %s", got.Code, got.Body, test.ready, test.body)
			}
		})
	}
}

// A process that hangs is not alive, and one that is about to leave hears no more
// and is.
func TestAnEventLoopThatHangs(t *testing.T) {
	for _, test := range []struct {
		name   string
		leaves bool
		want   int
	}{{"hangs", false, 503}, {"leaves meanwhile", true, 200}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1)
				f.hangs = make(chan struct{})
				if test.leaves {
					time.AfterFunc(time.Second, func() {
						f.mu.Lock()
						defer f.mu.Unlock()
						f.machine.On(lifecycle.Event{Kind: lifecycle.Stop, Kill: time.Now()}, time.Now())
					})
				}
				if got := ask(t, f.handler(0), "GET", "/live"); got.Code != test.want {
					t.Errorf("%d %s, want %d", got.Code, got.Body, test.want)
				}
				close(f.hangs)
				synctest.Wait()
			})
		})
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	got := ask(t, newFake(t, 2).handler(0), "GET", "/status")
	var s control.Status
	if err := json.Unmarshal(got.Body.Bytes(), &s); err != nil || s.PID != 17 || s.State != "running" || len(s.Busy) != 2 {
		t.Errorf("%s, %v", got.Body, err)
	}
	if kind := got.Header().Get("Content-Type"); kind != "application/json" {
		t.Errorf("content is %s", kind)
	}
	if got := ask(t, (*fake)(nil).handler(0), "GET", "/status"); got.Code != 503 {
		t.Errorf("before the start: %d %s", got.Code, got.Body)
	}
}

func TestDrain(t *testing.T) {
	for _, test := range []struct {
		name, path   string
		grace, wants time.Duration // as configured, and as the process is told; 0: no hour
	}{
		{"the grace is known", "/drain", 65 * time.Second, 65 * time.Second},
		{"the grace is not known", "/drain", 0, 0},
		{"the hook tells", "/drain?grace=2m", 65 * time.Second, 2 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1)
				h := f.handler(test.grace)
				began := time.Now()
				time.AfterFunc(20*time.Second, f.finish)
				got := ask(t, h, "GET", test.path)
				if took := time.Since(began); got.Code != 200 || took < 20*time.Second || took > 21*time.Second {
					t.Errorf("answered %d %s after %v", got.Code, got.Body, took)
				}
				s := f.Status()
				var hour time.Duration
				if !s.Deadlines.IsZero() {
					hour = s.Deadlines.Kill.Sub(began)
				}
				if s.State != "quiet" || s.Why != "drain request" || hour != test.wants {
					t.Errorf("%s by %q with the kill after %v, want %v", s.State, s.Why, hour, test.wants)
				}
				if again := ask(t, h, "POST", test.path); again.Code != 200 {
					t.Errorf("asked again: %d %s", again.Code, again.Body)
				}
			})
		})
	}
}

// Whoever stops waiting leaves the process quiet: a kubelet may be restarted, and
// asks again.
func TestACallerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "POST", "/drain", nil)
		f.handler(time.Minute).ServeHTTP(httptest.NewRecorder(), r)
		if s := f.Status(); s.State != "quiet" {
			t.Errorf("the process is %s", s.State)
		}
	})
}

func TestADrainThatIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		time.AfterFunc(time.Minute, func() { f.Notice(lifecycle.Event{Kind: lifecycle.Resume}) })
		if got := ask(t, f.handler(0), "GET", "/drain"); got.Code != http.StatusConflict {
			t.Errorf("%d %s", got.Code, got.Body)
		}
	})
}

func TestNobodyElseDrains(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"a link on a web page", "GET", "/drain", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a form on a web page", "POST", "/drain", []string{"Origin", "https://example.com"}, 403},
		{"a name that was let point here", "GET", "/drain", []string{"Host", "evil.example:9394"}, 403},
		{"by name, as no page can", "POST", "/drain", []string{"Host", "worker:9394"}, 200},
		{"by IPv6", "GET", "/drain", []string{"Host", "[fe80::1]:9394"}, 200},
		{"by localhost", "GET", "/drain", []string{"Host", "localhost"}, 200},
		{"a grace that is none", "GET", "/drain?grace=soon", nil, 400},
		{"another method", "DELETE", "/drain", nil, 405},
		{"a probe that is posted", "POST", "/ready", nil, 405},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, 0)
			if got := ask(t, f.handler(0), test.method, test.path, test.header...); got.Code != test.want {
				t.Errorf("%d %s, want %d", got.Code, got.Body, test.want)
			}
			if s := f.Status(); (s.State == "quiet") != (test.want == 200) {
				t.Errorf("the process is %s", s.State)
			}
		})
	}
}
