package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ebbjobs/ebb/store"
)

const (
	// maxSubjects is how many a stream may be of: ten windows with a few each.
	maxSubjects = 64
	// silence is how long a stream says nothing at most: a reader takes what is quiet
	// for longer for dead, or for held up by a proxy.
	silence = 2 * time.Second
	// sendPatience is how long one who reads slowly is waited for. What changed
	// meanwhile is sent once, as it stands then.
	sendPatience = 10 * time.Second
	// reask is how long a stream runs: whoever reads it opens the next one, and is asked
	// again who they are. One who may no longer see sees no more than this.
	reask = 5 * time.Minute
)

// update is what a watcher is told of a subject: how it looks now, or why nobody knows.
type update struct {
	Topic   string `json:"topic"`
	Page    string `json:"page"`
	Version string `json:"version,omitempty"`
	HTML    string `json:"html,omitempty"`
	Error   string `json:"error,omitempty"`
}

func newUpdate(s subject, f fragment, err error) update {
	u := update{Topic: s.key, Page: s.page, Version: f.version, HTML: string(f.html)}
	if err != nil {
		u.Error = store.Redact(err.Error())
	}
	return u
}

func (u update) known() bool           { return u.Version != "" || u.Error != "" }
func (u update) same(last update) bool { return u.Version == last.Version && u.Error == last.Error }

// watcher keeps what one stream has still to send: of each subject the latest alone, so
// that one who reads slowly costs no more than one who does not.
type watcher struct {
	mu   sync.Mutex
	due  []update
	wake chan struct{}
}

func newWatcher() *watcher { return &watcher{wake: make(chan struct{}, 1)} }

func (w *watcher) tell(u update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, old := range w.due {
		if old.Topic == u.Topic && old.Page == u.Page {
			w.due = append(w.due[:i], w.due[i+1:]...)
			break
		}
	}
	w.due = append(w.due, u)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) take() (due []update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	due, w.due = w.due, nil
	return due
}

// live is a stream of what changes in the subjects that are asked for: each is a topic,
// the page that shows it, and the version that is shown there already.
func (ui *UI) live(w http.ResponseWriter, r *request) error {
	query := r.URL.Query()
	topics, pages, versions := query["topic"], query["page"], query["version"]
	if len(topics) == 0 || len(topics) > maxSubjects || len(topics) != len(pages) || len(topics) != len(versions) {
		return fault(http.StatusBadRequest, fmt.Errorf("want topic, page and version of 1 to %d subjects", maxSubjects), "")
	}
	watcher, shown := newWatcher(), map[subject]string{}
	for i := range topics {
		s := subject{topics[i], pages[i]}
		name, _ := s.cut()
		if _, err := r.at(s.page); err != nil {
			return err
		}
		if _, known := ui.topics[name]; !known {
			return fault(http.StatusNotFound, fmt.Errorf("there is no topic %q", name), "")
		}
		if _, twice := shown[s]; twice {
			continue
		}
		shown[s] = versions[i]
		if leave, ok := ui.hub.watch(r, s, watcher); ok {
			defer leave()
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx
	if r.Method == http.MethodHead {
		return nil
	}
	return ui.stream(&sender{w, http.NewResponseController(w)}, r, watcher, shown)
}

// stream sends until who reads goes away or is too slow, has to be asked again who they
// are, or the pages are closed.
func (ui *UI) stream(out *sender, r *request, w *watcher, shown map[subject]string) error {
	beat := time.NewTicker(silence)
	defer beat.Stop()
	over := time.NewTimer(reask)
	defer over.Stop()
	err := out.send("hello", newPulse())
	for err == nil {
		select {
		case <-w.wake:
			for _, u := range w.take() {
				s := subject{u.Topic, u.Page}
				if u.Error == "" && u.Version == shown[s] {
					continue
				}
				shown[s] = u.Version
				err = errors.Join(err, out.send("update", u))
			}
			beat.Reset(silence)
		case <-beat.C:
			err = out.send("beat", newPulse())
		case <-ui.hub.ctx.Done():
			out.send("bye", newPulse())
			return nil
		case <-over.C:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
	return nil // who does not read is not told
}

// pulse tells a reader what time it is here, and which files pages are made for.
type pulse struct {
	Now    int64  `json:"now"` // in milliseconds
	Assets string `json:"assets"`
}

func newPulse() pulse {
	_, hash := assets()
	return pulse{time.Now().UnixMilli(), hash}
}

// sender writes events.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *sender) send(event string, data any) error {
	var b bytes.Buffer
	if event == "bye" || event == "hello" {
		b.WriteString("retry: 1000\n")
	}
	fmt.Fprintf(&b, "event: %s\ndata: ", event)
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return err
	}
	b.WriteString("\n")
	s.control.SetWriteDeadline(time.Now().Add(sendPatience)) // a recorder has none
	if _, err := s.w.Write(b.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}

// pieceOf answers with one subject as it is now, for where a proxy holds streams up.
func (ui *UI) pieceOf(w http.ResponseWriter, r *request) error {
	s := subject{r.FormValue("topic"), r.FormValue("page")}
	if _, err := r.at(s.page); err != nil {
		return err
	}
	f, err := ui.hub.fragment(r.Context(), r, s, waiting)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", `"`+f.version+`"`)
	h.Set("X-Now", fmt.Sprint(time.Now().UnixMilli()))
	if r.Header.Get("If-None-Match") == `"`+f.version+`"` {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Write(f.html)
	return nil
}
