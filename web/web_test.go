package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store/memstore"
)

// open returns the pages of an empty store.
func open(t *testing.T, opt Options) *UI {
	t.Helper()
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { st.Close() })
	ui, err := New(ebb.NewClient(st), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ui.Close() })
	return ui
}

// ask asks as a browser on this machine does.
func ask(ui http.Handler, method, target string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "localhost:9090"
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	ui.ServeHTTP(w, r)
	return w
}

func TestOverviewOfNothing(t *testing.T) {
	t.Parallel()
	w := ask(open(t, Options{}), "GET", "/")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<h1>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
