package drain

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func get(h http.Handler, method, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	text, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(text)
}

func TestHook(t *testing.T) {
	t.Parallel()
	one := func(o Outcome) Report { return Report{[]Result{{Name: "w", Outcome: o}}} }
	for _, c := range []struct {
		name   string
		report Report
		err    error
		code   int
		says   string
	}{
		{"drained", one(Drained), nil, 200, "w: drained"},
		{"late", one(Late), nil, 504, "w: late"},
		{"refused", Report{[]Result{{Name: "w", Outcome: Refused, Err: ErrPermission}}}, nil, 403, "not allowed"},
		{"nobody", Report{}, ErrNothing, 404, "no worker found"},
		{"failed", Report{}, errors.New("no idea"), 500, "no idea"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				hook := &Hook{Path: "/drain-x", Status: func() string { return "fine\n" }, Drain: func(context.Context) (Report, error) {
					calls.Add(1)
					time.Sleep(10 * seconds)
					return c.report, c.err
				}}
				h := hook.Handler(t.Context())
				for _, r := range []struct {
					method, path string
					code         int
				}{
					{"GET", "/drain", 404}, {"GET", "/", 404}, {"GET", "/drain-x/", 404}, {"HEAD", "/drain-x", 405}, {"POST", "/drain-x", 405},
					{"GET", StatusPath, 200},
				} {
					if code, said := get(h, r.method, r.path); code != r.code {
						t.Errorf("%s %s: %d %s", r.method, r.path, code, said)
					}
				}
				if calls.Load() != 0 {
					t.Fatal("it drains unasked")
				}
				began := time.Now()
				var asking sync.WaitGroup
				for range 3 {
					asking.Go(func() {
						if code, said := get(h, "GET", "/drain-x"); code != c.code || !strings.Contains(said, c.says) || time.Since(began) != 10*seconds {
							t.Errorf("%d after %v: %s", code, time.Since(began), said)
						}
					})
				}
				asking.Wait()
				if code, _ := get(h, "GET", "/drain-x"); code != c.code || calls.Load() != 1 {
					t.Errorf("once more: %d, and %d drains", code, calls.Load())
				}
				hook.Wait()
			})
		})
	}
}

// Whoever asks first may go away: kubelets do, when they are restarted.
func TestHookOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hook := &Hook{Path: "/drain", Drain: func(ctx context.Context) (Report, error) {
			select {
			case <-time.After(10 * seconds):
				return Report{}, nil
			case <-ctx.Done():
				return Report{}, ctx.Err()
			}
		}}
		h := hook.Handler(t.Context())
		ctx, end := context.WithTimeout(t.Context(), seconds)
		defer end()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/drain", nil))
		if code, said := get(h, "GET", "/drain"); code != 200 {
			t.Errorf("%d: %s", code, said)
		}
	})
}
