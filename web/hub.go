package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pace is how often a topic is read at most that does not say.
	pace = time.Second
	// hurry is how often a topic is read at most while things are changed by hand.
	hurry = 100 * time.Millisecond
	// readPatience is how long a read may take before those who wait are told that it
	// does not answer.
	readPatience = 10 * time.Second
	// forget is how long what nobody asks for is kept.
	forget = 10 * time.Second
)

// hub reads each topic from the store no more often than it says, however many ask, and
// not at all while nobody does.
type hub struct {
	ui         *UI
	ctx        context.Context // ends with the pages
	end        context.CancelFunc
	performing sync.WaitGroup

	mu    sync.Mutex
	seen  map[string]*reading // by key
	shows map[showing]*audience
	// changed is closed, and made anew, when somebody has changed something here.
	changed   chan struct{}
	changedAt time.Time
}

func newHub(ui *UI) *hub {
	h := &hub{ui: ui, seen: map[string]*reading{}, shows: map[showing]*audience{}, changed: make(chan struct{})}
	h.ctx, h.end = context.WithCancel(context.Background())
	return h
}

// close ends what is shown, and returns when nothing of it runs any more.
func (h *hub) close() {
	h.mu.Lock() // nothing begins from here on
	h.end()
	h.mu.Unlock()
	h.performing.Wait()
}

// poke has everything that is watched read again at once: somebody has changed
// something, and wants to see it in all windows.
func (h *hub) poke() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed, h.changedAt = make(chan struct{}), time.Now()
}

// reading is what was last read of a topic, or of the store. Its turn is held by who
// reads it.
type reading struct {
	turn chan struct{}
	used time.Time // guarded by the hub
	last atomic.Pointer[answer]
}

// answer is what a read has returned.
type answer struct {
	at   time.Time // it began
	data any
	err  error
}

// within reports whether a is no older than that, and nothing was changed since. nil is
// not.
func (a *answer) within(oldest time.Duration, changed time.Time) bool {
	return a != nil && time.Since(a.at) < oldest && !a.at.Before(changed)
}

// read returns what a topic shows, at most as old as it may be.
func (h *hub) read(ctx context.Context, key string, how patience) (t topic, arg string, data any, err error) {
	name, arg := subject{key: key}.cut()
	t, ok := h.ui.topics[name]
	if !ok {
		return t, arg, nil, fault(http.StatusNotFound, fmt.Errorf("there is no topic %q", name), "")
	}
	data, err = h.share(ctx, key, cmp.Or(t.every, pace), how, func(ctx context.Context) (any, error) { return t.read(ctx, arg) })
	return t, arg, data, err
}

// patience is what is done where something that was read before is too old.
type patience bool

const (
	// waiting reads it anew.
	waiting patience = false
	// hasty takes it once more if it is too old by less than a second, and has it read
	// anew meanwhile: a page is there at once, and is kept fresh from then on.
	hasty patience = true
)

// share returns what read has last returned for whoever asked for the same key, unless
// that is older than it may be or something was changed by hand since.
func (h *hub) share(ctx context.Context, key string, oldest time.Duration, how patience, read func(context.Context) (any, error)) (any, error) {
	r, changed := h.reading(key)
	if how == hasty {
		if last := r.last.Load(); last.within(oldest+pace, changed) {
			if !last.within(oldest, changed) && len(r.turn) == 0 {
				h.meanwhile(func(ctx context.Context) { h.share(ctx, key, oldest, waiting, read) })
			}
			return last.data, last.err
		}
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if last := r.last.Load(); last.within(oldest, changed) {
		return last.data, last.err
	}
	bounded, end := context.WithTimeout(ctx, readPatience)
	defer end()
	answer := &answer{at: time.Now()}
	answer.data, answer.err = attempt(bounded, key, read)
	if ctx.Err() == nil { // else it says no more than that who asked went away
		r.last.Store(answer)
	}
	return answer.data, answer.err
}

// attempt reads. A bug there is its error: it must not end the program that the pages are
// mounted in.
func attempt(ctx context.Context, key string, read func(context.Context) (any, error)) (data any, err error) {
	defer func() {
		if bug := recover(); bug != nil {
			data, err = nil, fmt.Errorf("web: %s: this is a bug: %v", key, bug)
		}
	}()
	return read(ctx)
}

// meanwhile runs something that ends with the pages.
func (h *hub) meanwhile(run func(context.Context)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() == nil {
		h.performing.Go(func() { run(h.ctx) })
	}
}

// reading returns that of a key, and when something was last changed by hand. What was
// not asked for in a while is forgotten: filters are part of keys, and there is no end
// to them.
func (h *hub) reading(key string) (*reading, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	r := h.seen[key]
	if r == nil {
		for other, old := range h.seen {
			if now.Sub(old.used) > forget && len(old.turn) == 0 {
				delete(h.seen, other)
			}
		}
		r = &reading{turn: make(chan struct{}, 1)}
		h.seen[key] = r
	}
	r.used = now
	return r, h.changedAt
}

// fragment is a subject as who asks sees it.
func (h *hub) fragment(ctx context.Context, r *request, s subject, how patience) (fragment, error) {
	t, _, data, err := h.read(ctx, s.key, how)
	if err != nil {
		return fragment{}, err
	}
	return t.draw(r, s, data)
}

// showing is a subject for one kind of viewer: all of them are sent the same.
type showing struct {
	subject
	base string
	role Role
}

// audience are those who watch a show.
type audience struct {
	watchers map[*watcher]bool
	last     update // what they were sent
	leave    context.CancelFunc
}

// watch has w told of a show's changes until leave is called. The first to come opens
// it, and who comes later is told at once how it stands. It reports false if the pages
// have been closed.
func (h *hub) watch(r *request, s subject, w *watcher) (leave func(), ok bool) {
	key := showing{s, r.base, r.Role}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, false
	}
	a := h.shows[key]
	if a == nil {
		a = &audience{watchers: map[*watcher]bool{}}
		var ctx context.Context
		ctx, a.leave = context.WithCancel(h.ctx)
		h.shows[key] = a
		as := *r // of the first; nothing of it but its kind is drawn
		as.Request = r.Clone(ctx)
		h.performing.Go(func() { h.perform(ctx, &as, s, a) })
	}
	a.watchers[w] = true
	if a.last.known() {
		w.tell(a.last)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(a.watchers, w)
		if len(a.watchers) == 0 && h.shows[key] == a {
			a.leave()
			delete(h.shows, key)
		}
	}, true
}

// perform reads and draws a show, and tells all who watch of what has changed.
func (h *hub) perform(ctx context.Context, r *request, s subject, a *audience) {
	name, _ := s.cut()
	every := cmp.Or(h.ui.topics[name].every, pace)
	for {
		h.mu.Lock()
		changed := h.changed
		h.mu.Unlock()
		began := time.Now()
		f, err := h.fragment(ctx, r, s, waiting)
		if ctx.Err() != nil {
			return
		}
		u := newUpdate(s, f, err)
		h.mu.Lock()
		if !u.same(a.last) {
			a.last = u
			for w := range a.watchers {
				w.tell(u)
			}
		}
		h.mu.Unlock()
		select {
		case <-time.After(every):
		case <-changed:
			select {
			case <-time.After(time.Until(began.Add(hurry))): // at once, but for a second change soon after
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}
}
