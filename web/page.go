package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/ebbjobs/ebb/store"
)

//go:embed templates
var templateFiles embed.FS

// page is what is shown of one address.
type page struct {
	Title    string
	Tab      string // of the navigation, as its path: "/stops"
	Template string // of the main part
	Data     any
	Status   int  // 0: 200
	Bare     bool // without navigation, for those who may not see it
}

// view is what templates of pages get: the request, and what the page is about. Its
// methods and those of request are what they may call.
type view struct {
	*request
	page
}

// templates are one set for each page, with all the parts that pages share.
var templates = sync.OnceValues(func() (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts/*.html")
	if err != nil {
		return nil, fmt.Errorf("web: templates: %w", err)
	}
	files, err := fs.Glob(templateFiles, "templates/pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("web: templates: %w", err)
	}
	all := map[string]*template.Template{}
	for _, file := range files {
		t, err := template.Must(shared.Clone()).ParseFS(templateFiles, file)
		if err != nil {
			return nil, fmt.Errorf("web: templates: %w", err)
		}
		all[strings.TrimSuffix(path.Base(file), ".html")] = t
	}
	return all, nil
})

// render answers with a page. It is made as a whole before the first byte goes out, so
// that an error never follows half of one.
func (ui *UI) render(w http.ResponseWriter, r *request, p page) {
	var b bytes.Buffer
	err := execute(&b, p.Template, "layout", &view{request: r, page: p})
	if err != nil && p.Template != "problem" {
		ui.fail(w, r, err)
		return
	}
	if err != nil {
		http.Error(w, store.Redact(err.Error()), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	w.Write(b.Bytes())
}

// execute writes the template name of a page's set.
func execute(b *bytes.Buffer, page, name string, data any) error {
	all, err := templates()
	if err != nil {
		return err
	}
	t := all[page]
	if t == nil {
		return fmt.Errorf("web: no page %q", page)
	}
	if err := t.ExecuteTemplate(b, name, data); err != nil {
		return fmt.Errorf("web: %s: %w", page, err)
	}
	return nil
}

// back answers a change with the way to the page that it was asked from, which shows
// what was done.
func (ui *UI) back(w http.ResponseWriter, r *request, change string) error {
	to, err := url.Parse(r.PostFormValue("back")) // refuses control characters
	if err != nil || to.Scheme != "" || to.Host != "" || to.Opaque != "" || !strings.HasPrefix(to.Path, r.base+"/") ||
		strings.HasPrefix(to.Path, "//") || strings.Contains(to.Path, `\`) {
		to = &url.URL{Path: r.base + "/"}
	}
	if change != "" {
		query := to.Query()
		query.Set("change", change)
		to.RawQuery = query.Encode()
	}
	http.Redirect(w, r.Request, to.String(), http.StatusSeeOther)
	return nil
}
