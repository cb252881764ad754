//go:build ui

package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var (
	scratch string          // a folder for what all tests share
	chrome  context.Context // the browser of all tests
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ebb-browser-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		scratch = dir
		defer os.RemoveAll(dir)
		ctx, end, err := Start(context.Background(), dir+"/chromium")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer end()
		chrome = ctx
		code := m.Run()
		if code == 0 && *figuresFile != "" {
			if err := writeFigures(*figuresFile); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		if exceeded.Load() {
			fmt.Fprintln(os.Stderr, "people wait too long, see what was measured")
			code = 1
		}
		return code
	}())
}

// profile is one person's browser: its tabs share what they keep, with nobody else.
type profile struct{ ctx context.Context }

func newProfile(t testing.TB) *profile {
	t.Helper()
	ctx, end := chromedp.NewContext(chrome, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &profile{ctx}
}

// tab is a page in a browser, and what the browser has complained of there.
type tab struct {
	testing.TB
	ctx context.Context

	mu     sync.Mutex
	origin string // where all requests have to go
	wrong  []string
	// complained has something in it when wrong has grown.
	complained chan struct{}
}

// plain is how most people look at most pages.
var plain = Look{Name: "light", Width: 1280, Height: 900}

// open opens a tab with nothing in it.
func (p *profile) open(t testing.TB) *tab {
	t.Helper()
	return open(t, p.ctx)
}

func open(t testing.TB, in context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(in, options...)
	t.Cleanup(end)
	b := &tab{TB: t, ctx: ctx, complained: make(chan struct{}, 1)}
	if err := chromedp.Do(ctx); err != nil { // a deadline on the first action would be the tab's own
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	command(b, network.Enable, network.EnableParams{})
	b.do(plain.Show)
	return b
}

// newTab opens a tab of a browser that nobody has used before.
func newTab(t testing.TB) *tab {
	t.Helper()
	return open(t, chrome, chromedp.WithNewBrowserContext())
}

// hear notes what went wrong, and what was asked for.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(format string, args ...any) {
		b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
		select {
		case b.complained <- struct{}{}:
		default: // nobody has looked yet
		}
	}
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			complain("console: %s", wordsOf(e.Args))
		}
	case *runtime.EventExceptionThrown:
		complain("exception: %s", e.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			complain("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Scheme != "blob" && u.Scheme+"://"+u.Host != b.origin {
			complain("asks another origin: %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			complain("%d: %s", e.Response.Status, e.Response.URL)
		}
	}
}

func wordsOf(args []*runtime.RemoteObject) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = strings.TrimSpace(string(arg.Value) + " " + arg.Description)
	}
	return strings.Join(words, " ")
}

// complaints are what went wrong since they were last asked for.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	wrong := b.wrong
	b.wrong = nil
	return wrong
}

// quiet fails the test if the browser has complained.
func (b *tab) quiet(of string) {
	b.Helper()
	for _, wrong := range b.complaints() {
		b.Errorf("%s: %s", of, wrong)
	}
}

const patience = 60 * time.Second

// try carries out an action.
func try[T any](b *tab, action chromedp.Action[T]) (T, error) {
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	return chromedp.Run(ctx, action)
}

// do carries out actions, or ends the test.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if _, err := try(b, chromedp.Steps(actions...)); err != nil {
		b.Fatalf("%v\n%s", err, strings.Join(b.complaints(), "\n"))
	}
}

// visit goes to an address and waits until all of it is there.
func (b *tab) visit(address string) {
	b.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	b.origin = u.Scheme + "://" + u.Host
	b.mu.Unlock()
	if _, err := try(b, chromedp.Navigate(address)); err != nil {
		b.Fatalf("%s: %v", address, err)
	}
}

// evaluate is what script is on this page.
func evaluate[T any](b *tab, script string, args ...any) T {
	b.Helper()
	return evaluated[T](b, script, args, func(*runtime.EvaluateParams) {})
}

// awaited is what the promise that script is comes to. Nothing does where the page may
// not run any script.
func awaited[T any](b *tab, script string, args ...any) T {
	b.Helper()
	return evaluated[T](b, script, args, chromedp.EvalAwaitPromise)
}

func evaluated[T any](b *tab, script string, args []any, how chromedp.EvaluateOption) T {
	b.Helper()
	if len(args) > 0 {
		script = fmt.Sprintf(script, args...)
	}
	value, err := try(b, chromedp.Evaluate[T](script, how))
	if err != nil {
		b.Fatalf("%v\n%.300s", err, script)
	}
	return value
}

// within waits until a script is true, and returns how long that took.
func (b *tab) within(limit time.Duration, script string, args ...any) time.Duration {
	b.Helper()
	if len(args) > 0 {
		script = fmt.Sprintf(script, args...)
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		// A page that is being replaced answers with an error.
		yes, err := try(b, chromedp.Evaluate[bool](`!!(`+script+`)`))
		took := time.Since(began)
		if err == nil && yes {
			return took
		} else if took > limit {
			b.Fatalf("not within %v: %s (%v)\n%s\nthe page says:\n%.3000s", limit, script, err,
				strings.Join(b.complaints(), "\n"), evaluate[string](b, `document.body.innerText`))
		}
	}
}

// press clicks on what a selector finds, as a pointer does.
func (b *tab) press(selector string) {
	b.Helper()
	b.do(chromedp.ScrollIntoView(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// count is how many elements a selector finds.
func (b *tab) count(selector string) int {
	b.Helper()
	return evaluate[int](b, `document.querySelectorAll(%q).length`, selector)
}

// command gives the browser a command of its protocol.
func command[P, R any](b *tab, c cdp.Command[P, R], params P) R {
	b.Helper()
	answer, err := try(b, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, c, params) })
	if err != nil {
		b.Fatalf("%s: %v", c.Method, err)
	}
	return answer
}
