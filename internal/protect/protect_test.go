package protect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// fakeAgent is the endpoint of a container agent. It is asked without a network, so
// that it can live in a bubble.
type fakeAgent struct {
	mu    sync.Mutex
	began time.Time
	asked []string // when, and for what
	fails string   // answered instead, if set
	takes time.Duration
}

func (f *fakeAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	takes := f.takes
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var w struct {
		ProtectionEnabled *bool
		ExpiresInMinutes  int
	}
	if err := json.NewDecoder(r.Body).Decode(&w); err != nil || w.ProtectionEnabled == nil {
		return nil, fmt.Errorf("request is %+v, %v", w, err)
	}
	if r.Method != http.MethodPut || r.URL.Path != "/api/42/task-protection/v1/state" || *w.ProtectionEnabled != (w.ExpiresInMinutes == 60) {
		return nil, fmt.Errorf("%s %s with %+v", r.Method, r.URL, w)
	}
	f.asked = append(f.asked, fmt.Sprintf("%v %v", time.Since(f.began), *w.ProtectionEnabled))
	answer := f.fails
	if answer == "" {
		answer = fmt.Sprintf(`{"protection":{"ExpirationDate":"2026-11-22T10:00:00Z","ProtectionEnabled":%v,"TaskArn":"arn:aws:ecs:t"}}`, *w.ProtectionEnabled)
	}
	return &http.Response{Status: "200 OK", StatusCode: 200, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

func (f *fakeAgent) set(fails string, takes time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails, f.takes = fails, takes
}

func (f *fakeAgent) history() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// world is a task with its agent, and jobs.
type world struct {
	*testing.T
	*Keeper
	agent *fakeAgent
	jobs  atomic.Int64
	log   strings.Builder
	stop  func() // ends the keeper, and waits
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, agent: &fakeAgent{began: time.Now()}}
		env := func(name string) string {
			return map[string]string{"ECS_AGENT_URI": "http://169.254.170.2/api/42"}[name]
		}
		k, err := New(env, slog.New(slog.NewTextHandler(&w.log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		k.agent.client.Transport = w.agent
		w.Keeper = k
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			k.Run(ctx, func() bool { return w.jobs.Load() > 0 })
		}()
		w.stop = func() { cancel(); <-ended }
		defer w.stop()
		test(w)
	})
}

// begin fetches a job, and says how long it had to wait.
func (w *world) begin() (waited time.Duration) {
	w.jobs.Add(1)
	began := time.Now()
	w.Admit(w.Context())
	return time.Since(began)
}

func (w *world) end() { w.jobs.Add(-1) }

func (w *world) want(history ...string) {
	w.Helper()
	if diff := cmp.Diff(history, w.agent.history()); diff != "" {
		w.Errorf("the agent was asked (-want +got):\n%s", diff)
	}
}

// The job waits for the answer, however long the agent takes, and its successors do
// not.
func TestNoJobBeginsUnprotected(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.set("", 2*time.Second)
		time.Sleep(time.Second)
		if waited := w.begin(); waited != 2*time.Second {
			t.Errorf("the first job waited %v", waited)
		}
		if waited := w.begin(); waited != 0 {
			t.Errorf("the second job waited %v", waited)
		}
		w.want("3s true")
		w.stop()
		w.want("3s true") // an agent that takes longer than the farewell is not waited for
	})
}

// Protection lasts as long as there are jobs: it is renewed at half its life, and
// given back when there was none for a while.
func TestHeldExactlyWhileBusy(t *testing.T) {
	inWorld(t, func(w *world) {
		time.Sleep(time.Second)
		w.begin()
		time.Sleep(70 * time.Minute)
		w.end()
		time.Sleep(10 * time.Minute)
		w.want("1s true", "30m5s true", "1h0m5s true", "1h13m0s false")
		w.stop()
		w.want("1s true", "30m5s true", "1h0m5s true", "1h13m0s false")
	})
}

// Short jobs with pauses between cost one request, even those that no look meets.
func TestNotPerJob(t *testing.T) {
	inWorld(t, func(w *world) {
		time.Sleep(time.Second)
		for range 20 {
			w.begin()
			time.Sleep(10 * time.Millisecond)
			w.end()
			time.Sleep(time.Minute)
		}
		w.want("1s true")
	})
}

// A job that is fetched while protection is being given back waits until that is
// known, and is protected anew.
func TestAJobDuringARelease(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin()
		w.end()
		w.agent.set("", time.Second)
		time.Sleep(rest + 500*time.Millisecond)
		if waited := w.begin(); waited != 1500*time.Millisecond {
			t.Errorf("the job waited %v", waited)
		}
		w.want("0s true", "3m1s false", "3m2s true")
	})
}

// What a container before this one may have left behind is given back.
func TestWhatWasLeftBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		time.Sleep(time.Hour)
		w.want("3m0s false")
	})
}

func TestTheEndGivesBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin()
		w.stop()
		w.want("0s true", "0s false")
		if waited := w.begin(); waited != 0 {
			t.Errorf("a job waited %v for a keeper that has ended", waited)
		}
	})
}

// An agent that refuses keeps no job from running. It is asked again, ever more
// seldom, and the log has one line for each change.
func TestAnAgentThatRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.set(`{"requestID":"1","error":{"Code":"ThrottlingException","Message":"Rate exceeded"}}`, 0)
		if waited := w.begin(); waited != 0 {
			t.Errorf("the job waited %v", waited)
		}
		time.Sleep(time.Hour)
		if n := len(w.agent.history()); n < 10 || n > 40 {
			t.Errorf("the agent was asked %d times in an hour", n)
		}
		w.agent.set("", 0)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := strings.Count(w.log.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want one for the refusal and one for its end:\n%s", n, &w.log)
		}
	})
}

// An agent that hangs delays the first job by what a request may take, and no other.
func TestAnAgentThatHangs(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.set("", time.Hour)
		if waited := w.begin(); waited != patience {
			t.Errorf("the first job waited %v", waited)
		}
		if waited := w.begin(); waited != 0 {
			t.Errorf("the second job waited %v", waited)
		}
	})
}

// A stop does not wait for the agent.
func TestAStopWhileJobsWait(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.set("", time.Hour)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		began := time.Now()
		w.Admit(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("Admit returned after %v", took)
		}
	})
}

func TestOutsideOfECS(t *testing.T) {
	t.Parallel()
	if k, err := New(func(string) string { return "" }, slog.New(slog.DiscardHandler)); err == nil {
		t.Errorf("%+v", k)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		on         bool
		code       int
		want       string // of the error, "" for none
	}{
		{"granted", `{"protection":{"ExpirationDate":"2023-12-20T21:57:44.837Z","ProtectionEnabled":true,"TaskArn":"t"}}`, true, 200, ""},
		{"granted, the date as a number", `{"protection":{"ExpirationDate":1703109464,"ProtectionEnabled":true,"TaskArn":"t"}}`, true, 200, ""},
		{"given back", `{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"t"}}`, false, 200, ""},
		{"unmoved", `{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"t"}}`, true, 200, "nothing has changed"},
		{"no service", `{"failure":{"Arn":"t","Detail":null,"Reason":"TASK_NOT_VALID"}}`, true, 200, "TASK_NOT_VALID"},
		{"no right", `{"requestID":"1","error":{"Arn":"t","Code":"AccessDeniedException","Message":"User is not authorized"}}`, true, 400, "ecs:UpdateTaskProtection"},
		{"throttled", `{"requestID":"1","error":{"Arn":"t","Code":"ThrottlingException","Message":"Rate exceeded"}}`, true, 429, "Rate exceeded"},
		{"the agent gave up", `{"requestID":"1","error":{"Arn":"t","Code":"RequestCanceled","Message":"Timed out"}}`, true, 504, "RequestCanceled"},
		{"no JSON", `<html>`, true, 502, "502 Bad Gateway"},
		{"nothing", ``, true, 200, "200 OK"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.code)
				io.WriteString(w, test.text)
			}))
			defer server.Close()
			err := newAgent(server.URL).put(t.Context(), test.on)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if err := newAgent("http://127.0.0.1:1").put(t.Context(), true); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("nobody answers: %v", err)
	}
}

// A job may be fetched and let in between the two looks that a release takes. It keeps
// its protection.
func TestAJobBetweenTwoLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		agent := &fakeAgent{began: time.Now()}
		k, err := New(func(string) string { return "http://169.254.170.2/api/42" }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		k.agent.client.Transport = agent
		k.open, k.state = true, protected
		time.Sleep(rest)
		looks := 0
		k.look(t.Context(), func() bool {
			looks++
			return looks > 1
		})
		if looks != 2 || !k.open || k.state != protected || len(agent.history()) > 0 {
			t.Errorf("after %d looks the gate is open: %v, and the agent was asked %q", looks, k.open, agent.history())
		}
	})
}
