package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// screen is what a browser has received. It is read while it is written.
type screen struct {
	mu     sync.Mutex
	header http.Header
	text   strings.Builder
}

func (s *screen) Header() http.Header { return s.header }
func (s *screen) WriteHeader(int)     {}
func (s *screen) Flush()              {}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// world is a topic that a test changes: the deploy bar, with one line.
type world struct {
	mu    sync.Mutex
	title string
	err   error
	reads int
}

func (w *world) read(context.Context, string) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	return &deployBar{Shown: []deployRow{{ID: "one", Title: w.title, Class: "done"}}}, w.err
}

func (w *world) set(title string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.title, w.err = title, err
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads
}

func watched(t *testing.T) (*UI, *world) {
	w := &world{title: "first"}
	ui := open(t, Options{})
	ui.topics["deploy"] = topic{page: "deploy", read: w.read}
	return ui, w
}

// watch opens a stream of the deploy bar as a page shows it.
func watch(ui *UI, page string) (seen *screen, leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	seen = &screen{header: http.Header{}}
	query := url.Values{"topic": {"deploy"}, "page": {page}, "version": {""}}
	r := httptest.NewRequest("GET", "/live?"+query.Encode(), nil).WithContext(ctx)
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "localhost:9090"
	done := make(chan struct{})
	go func() {
		defer close(done)
		ui.ServeHTTP(seen, r)
	}()
	return seen, func() {
		cancel()
		<-done
	}
}

func TestOneReadForAllWhoWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui, w := watched(t)
		for range 100 {
			_, leave := watch(ui, "/queues")
			defer leave()
		}
		_, leave := watch(ui, "/stops")
		time.Sleep(10*time.Second + time.Millisecond)
		if n := w.count(); n > 12 {
			t.Errorf("%d reads in 10 s for 101 who watch, want one a second", n)
		}
		ui.hub.mu.Lock()
		if n := len(ui.hub.shows); n != 2 {
			t.Errorf("drawn %d times, want once for each page", n)
		}
		ui.hub.mu.Unlock()
		leave()
	})
}

// TestEightHours: a page that is open for a day's work costs no more in the end than in
// the beginning, though something changes every second and stream follows upon stream.
func TestEightHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ui, w := watched(t)
		open := func(long time.Duration) (heap uint64) {
			for end := time.Now().Add(long); time.Now().Before(end); {
				_, leave := watch(ui, "/queues")
				for range int(reask / time.Second) {
					w.set(time.Now().Format(time.RFC3339), nil)
					time.Sleep(time.Second)
				}
				leave()
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, reads := open(2*reask), w.count()
		after := open(8 * time.Hour)
		if n := w.count() - reads; n < 8*60*60 {
			t.Errorf("%d reads in 8 h, want one a second", n)
		}
		if after > before+1<<20 {
			t.Errorf("%d bytes after 8 h, %d before", after, before)
		}
	})
}

func TestNothingIsReadForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui, w := watched(t)
		_, leave := watch(ui, "/")
		time.Sleep(3 * time.Second)
		leave()
		synctest.Wait()
		before := w.count()
		time.Sleep(time.Minute)
		if n := w.count(); n != before {
			t.Errorf("%d reads while nobody watched", n-before)
		}
		for i := range 100 {
			ask(ui, "GET", "/piece?page=/&topic=deploy:"+string(rune('a'+i%26))+string(rune('a'+i/26)))
			time.Sleep(forget)
		}
		if n := len(ui.hub.seen); n > 3 {
			t.Errorf("%d topics are kept that nobody asks for", n)
		}
	})
}

func TestOnlyWhatChangedIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui, w := watched(t)
		seen, leave := watch(ui, "/")
		defer leave()
		time.Sleep(10 * time.Second)
		if n := strings.Count(seen.String(), "event: update"); n != 1 {
			t.Errorf("%d updates of what never changed, want the first alone", n)
		}
		if n := strings.Count(seen.String(), "event: beat"); n < 4 {
			t.Errorf("%d beats in 10 s: a proxy that holds the stream back could not be told from silence", n)
		}
		w.set("second", nil)
		time.Sleep(1100 * time.Millisecond)
		if !strings.Contains(seen.String(), "second") {
			t.Errorf("a change was not sent within a second:\n%s", seen)
		}
	})
}

func TestTroubleIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui, w := watched(t)
		seen, leave := watch(ui, "/")
		defer leave()
		time.Sleep(time.Second)
		w.set("first", errors.New("dial redis://:s3cret@cache: refused"))
		time.Sleep(1100 * time.Millisecond)
		if s := seen.String(); !strings.Contains(s, "refused") || strings.Contains(s, "s3cret") {
			t.Errorf("want the reason, without the password:\n%s", s)
		}
		w.set("first", nil)
		time.Sleep(1100 * time.Millisecond)
		if n := strings.Count(seen.String(), `"html"`); n != 2 {
			t.Errorf("drawn %d times, want it again once the store is back:\n%s", n, seen)
		}
	})
}

func TestChangesByHandAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui, w := watched(t)
		ui.post("/test", Operator, func(http.ResponseWriter, *request) error {
			w.set("second", nil)
			return nil
		})
		seen, leave := watch(ui, "/")
		defer leave()
		time.Sleep(1500 * time.Millisecond)
		ask(ui, "POST", "/test")
		synctest.Wait() // for no time at all
		if !strings.Contains(seen.String(), "second") {
			t.Errorf("not seen at once:\n%s", seen)
		}
		before := w.count()
		for range 1000 {
			ask(ui, "POST", "/test")
			time.Sleep(time.Millisecond)
		}
		if n := w.count() - before; n > 12 {
			t.Errorf("%d reads for 1,000 changes within a second, want one in %v", n, hurry)
		}
	})
}

func TestClosing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which fails if anything of it runs on
		ui, _ := watched(t)
		seen, leave := watch(ui, "/")
		defer leave()
		time.Sleep(time.Second)
		ui.Close()
		ui.Close()
		synctest.Wait()
		if s := seen.String(); !strings.Contains(s, "retry: 1000\nevent: bye\n") {
			t.Errorf("no goodbye:\n%s", s)
		}
		late, leave := watch(ui, "/")
		defer leave()
		synctest.Wait()
		if !strings.Contains(late.String(), "event: bye") {
			t.Errorf("who comes late is not told:\n%s", late)
		}
	})
}

// Who has lost the right to see sees no more than the stream that they have.
func TestStreamsAreAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui, w := watched(t)
		_, leave := watch(ui, "/")
		defer leave()
		time.Sleep(reask - time.Second)
		if ui.hub.mu.Lock(); len(ui.hub.shows) != 1 {
			t.Error("the stream has ended before its time")
		}
		ui.hub.mu.Unlock()
		time.Sleep(2 * time.Second)
		before := w.count()
		time.Sleep(time.Minute)
		if n := w.count() - before; n > 0 {
			t.Errorf("the stream goes on: %d more reads", n)
		}
	})
}

// TestSlowReaders: who does not take what is sent costs no more than one update.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	w := newWatcher()
	for _, version := range []string{"1", "2", "3"} {
		w.tell(update{Topic: "deploy", Page: "/", Version: version})
	}
	if due := w.take(); len(due) != 1 || due[0].Version != "3" {
		t.Errorf("due are %v, want the latest alone", due)
	}
}

func TestOneWhoLeavesCutsNobodysRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui := open(t, Options{})
		ui.topics["deploy"] = topic{page: "deploy", read: func(ctx context.Context, _ string) (any, error) {
			select {
			case <-time.After(2 * time.Second):
				return &deployBar{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		ctx, leave := context.WithCancel(t.Context())
		go ui.hub.read(ctx, "deploy", waiting)
		synctest.Wait()
		time.AfterFunc(pace/2, leave) // while what it read would still count for others
		if _, _, _, err := ui.hub.read(t.Context(), "deploy", waiting); err != nil {
			t.Errorf("who waited got %v, want a read of their own", err)
		}
	})
}

func TestBugInATopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ui := open(t, Options{})
		ui.topics["deploy"] = topic{page: "deploy", read: func(context.Context, string) (any, error) { panic("oops") }}
		seen, leave := watch(ui, "/")
		defer leave()
		time.Sleep(time.Second)
		if !strings.Contains(seen.String(), "this is a bug: oops") {
			t.Errorf("got\n%s", seen)
		}
	})
}

func TestPiece(t *testing.T) {
	t.Parallel()
	ui, w := watched(t)
	first := ask(ui, "GET", "/piece?topic=deploy&page=/queues")
	tag := first.Header().Get("Etag")
	if first.Code != http.StatusOK || tag == "" || !strings.Contains(first.Body.String(), "first") {
		t.Fatalf("%d %q %s", first.Code, tag, first.Body)
	}
	known := func(r *http.Request) { r.Header.Set("If-None-Match", tag) }
	if same := ask(ui, "GET", "/piece?topic=deploy&page=/queues", known); same.Code != http.StatusNotModified || same.Body.Len() > 0 {
		t.Errorf("%d with %d bytes for what has not changed, want 304", same.Code, same.Body.Len())
	}
	w.set("second", nil)
	ui.hub.poke()
	if other := ask(ui, "GET", "/piece?topic=deploy&page=/queues", known); other.Code != http.StatusOK {
		t.Errorf("%d for what has changed, want it", other.Code)
	}
}

func TestBadSubjects(t *testing.T) {
	t.Parallel()
	ui := open(t, Options{})
	for _, c := range []struct {
		target string
		want   int
	}{
		{"/live", 400},
		{"/live?topic=deploy", 400},
		{"/live?topic=deploy&page=//evil.example/&version=", 400},
		{"/live?topic=deploy&page=https://evil.example/&version=", 400},
		{"/live?topic=nothing&page=/&version=", 404},
		{"/live?" + strings.Repeat("topic=deploy&page=/&version=&", maxSubjects+1), 400},
		{"/piece?topic=nothing&page=/", 404},
		{"/piece?topic=deploy&page=x", 400},
	} {
		if w := ask(ui, "GET", c.target); w.Code != c.want {
			t.Errorf("GET %.80s: %d, want %d", c.target, w.Code, c.want)
		}
	}
}

// TestTimeIsNoNews: a text that only counts must not be sent every second.
func TestTimeIsNoNews(t *testing.T) {
	t.Parallel()
	const at = `<p>since <time datetime="2026-01-02T03:04:05Z">%</time>, 3 jobs</p>`
	one, two := version([]byte(strings.ReplaceAll(at, "%", "3 s ago"))), version([]byte(strings.ReplaceAll(at, "%", "4 s ago")))
	if one != two {
		t.Error("the text of a time is news")
	}
	if other := version([]byte(strings.ReplaceAll(at, "3 jobs", "4 jobs"))); other == one {
		t.Error("what stands after a time is none")
	}
	if other := version([]byte(strings.ReplaceAll(at, ":05Z", ":06Z"))); other == one {
		t.Error("another moment is none")
	}
}
