package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// shownJSON is a value as a page shows it: as it is written, without what is hidden.
type shownJSON struct {
	Text   string
	Hidden bool // all of it is: the job, or the role of who asks, hides it
	Cut    bool // it goes on
}

// argsOf are the arguments of a job as who asks may see them, at most so many bytes.
func (r *request) argsOf(job *wire.Job, most int) shownJSON {
	if !r.Args() || job.History.NoArgs {
		return shownJSON{Hidden: true}
	}
	return r.show(job.Args, most, "")
}

// show is a value without what [Options.Redact] hides, cut at most bytes. Every other
// byte of it is as it was: numbers keep all their digits.
func (r *request) show(value json.RawMessage, most int, under string) shownJSON {
	text := []byte(value)
	if r.ui.opt.Redact != nil && len(text) > 0 {
		var err error
		if text, err = hide(text, most, under, r.ui.opt.Redact); err != nil {
			return shownJSON{Hidden: true} // who cannot read it cannot tell what to hide
		}
	}
	s := shownJSON{Cut: len(text) > most}
	s.Text = cut(string(text[:min(len(text), most+utf8.UTFMax)]), most)
	return s
}

// seen is a job with no more of its payload than who asks may see, for searches to look
// at. One that cannot be read has nothing: nobody can tell what in it is to be hidden.
func (r *request) seen(e store.Entry) store.Entry {
	job, err := wire.Parse(e.Payload)
	if err != nil {
		e.Payload = nil
		return e
	}
	var p wire.Patch
	show := func(key, under string, value []byte, none string) {
		text, err := hide(value, math.MaxInt, under, r.redacts)
		if err != nil || !r.Args() || r.redacts(key) {
			text = []byte(none)
		}
		p.Set(key, text)
	}
	show("args", "", job.Args, "[]")
	for _, f := range job.Extra() {
		show(f.Key, f.Key, f.Value, "null")
	}
	e.Payload = job.With(&p)
	return e
}

// redacts reports whether a value is hidden by its path.
func (r *request) redacts(path string) bool { return r.ui.opt.Redact != nil && r.ui.opt.Redact(path) }

// hidden stands for a value that is not shown.
const hidden = `"•••"`

// hide puts hidden in the place of every value that secret says so of, by its path:
// names and places with dots between them, as in 0.user.password. What comes after most
// bytes it may leave out. It reads value once, however deep it is.
func hide(value []byte, most int, under string, secret func(path string) bool) ([]byte, error) {
	type level struct {
		object bool
		path   string
		key    string // of the member that comes next
		n      int
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var out []byte
	var levels []level
	done := int64(0) // up to where value is in out
	for len(out) <= most {
		path := under
		if n := len(levels); n > 0 {
			l := &levels[n-1]
			switch {
			case !dec.More():
			case l.object && l.key == "":
				token, err := dec.Token()
				if err != nil {
					return nil, err
				}
				l.key = "." + token.(string)
				continue
			case l.object:
				path, l.key = l.path+l.key, ""
			default:
				path = fmt.Sprintf("%s.%d", l.path, l.n)
				l.n++
			}
			if dec.More() && secret(strings.TrimPrefix(path, ".")) {
				from := begin(value, dec.InputOffset())
				var skip json.RawMessage
				if err := dec.Decode(&skip); err != nil {
					return nil, err
				}
				out = append(append(out, value[done:from]...), hidden...)
				done = dec.InputOffset()
				continue
			}
		}
		token, err := dec.Token()
		if err == io.EOF {
			return append(out, value[done:]...), nil
		}
		if err != nil {
			return nil, err
		}
		if d, ok := token.(json.Delim); ok {
			if d == '{' || d == '[' {
				levels = append(levels, level{object: d == '{', path: path})
			} else {
				levels = levels[:len(levels)-1]
			}
		}
		out, done = append(out, value[done:dec.InputOffset()]...), dec.InputOffset()
	}
	return out, nil
}

// begin is where the value begins that comes next: behind space, colon and comma.
func begin(value []byte, from int64) int64 {
	for from < int64(len(value)) && strings.IndexByte(" \t\r\n:,", value[from]) >= 0 {
		from++
	}
	return from
}

// validEnd reports whether text does not end within a character.
func validEnd(text string) bool {
	r, size := utf8.DecodeLastRuneInString(text)
	return r != utf8.RuneError || size != 1
}
