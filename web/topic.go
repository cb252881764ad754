package web

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// topic is a part of a page that may change by itself.
type topic struct {
	// page has the template, which is named like the topic.
	page string
	// every is how often it is read at most; 0: once a second.
	every time.Duration
	// read gets what it shows from the store, for all who look at once: what depends on
	// who asks is for the template to leave out. arg is what follows the colon in
	// "stop:ID", "" if nothing does.
	read func(ctx context.Context, arg string) (any, error)
}

// piece is what the template of a topic gets.
type piece struct {
	*request
	Arg  string
	Data any
}

// subject is a topic as a page shows it: page is that page's address below the base,
// to which links in the topic lead back.
type subject struct{ key, page string }

// cut returns the topic's name and its argument.
func (s subject) cut() (name, arg string) {
	name, arg, _ = strings.Cut(s.key, ":")
	return name, arg
}

// fragment is a topic as it is sent.
type fragment struct {
	html    []byte
	version string // of what it shows
}

// Live shows a topic as a part of the page, which script keeps fresh from then on.
func (v *view) Live(name string, arg ...string) (template.HTML, error) {
	s := subject{key: name, page: v.Address()}
	if len(arg) > 0 && arg[0] != "" {
		s.key += ":" + arg[0]
	}
	f, err := v.ui.hub.fragment(v.Context(), v.request, s, hasty)
	if err != nil {
		return "", err
	}
	return template.HTML(fmt.Sprintf(`<div class="live" data-topic="%s" data-version="%s">%s</div>`,
		template.HTMLEscapeString(s.key), f.version, f.html)), nil
}

// Address is where this page is, below the base.
func (r *request) Address() string {
	if !isClean(r.Request) { // there is no such page
		return "/"
	}
	return r.URL.RequestURI()
}

// at is the request as if it asked for a page: the one that shows a subject.
func (r *request) at(page string) (*request, error) {
	u, err := url.ParseRequestURI(page)
	if err != nil || !strings.HasPrefix(page, "/") || strings.HasPrefix(page, "//") {
		return nil, fault(http.StatusBadRequest, fmt.Errorf("%q is not a page", page), "")
	}
	asked := *r
	asked.Request = r.WithContext(r.Context())
	asked.URL, asked.Form, asked.PostForm, asked.Method = u, nil, nil, http.MethodGet
	return &asked, nil
}

// draw renders a subject for one kind of viewer.
func (t topic) draw(r *request, s subject, data any) (fragment, error) {
	asked, err := r.at(s.page)
	if err != nil {
		return fragment{}, err
	}
	asked.Now = time.Now()
	name, arg := s.cut()
	var b bytes.Buffer
	if err := execute(&b, t.page, name, &piece{request: asked, Arg: arg, Data: data}); err != nil {
		return fragment{}, err
	}
	return fragment{b.Bytes(), version(b.Bytes())}, nil
}

// version tells drawings apart by what they show. How long ago something was and how
// long it will take, which the text of a <time> says, is not news: script counts.
func version(html []byte) string {
	sum := fnv.New64a()
	for len(html) > 0 {
		before, rest, found := bytes.Cut(html, []byte("<time "))
		sum.Write(before)
		if html = nil; found {
			attributes, text, _ := bytes.Cut(rest, []byte(">"))
			sum.Write(attributes)
			_, html, _ = bytes.Cut(text, []byte("</time>"))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
