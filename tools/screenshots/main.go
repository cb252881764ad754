// Command screenshots takes the pictures of docs/pictures: it lets a small fleet work,
// be deployed, killed and rescued on a store of its own, and looks at the pages of it.
//
//	go run -C tools ./screenshots [-out ../docs/pictures] [-pages stop,jobs]
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ebbjobs/ebb/tools/browser"
)

func main() {
	out := flag.String("out", "../docs/pictures", "folder for the pictures")
	only := flag.String("pages", "", "only these, with commas between them")
	flag.Parse()
	ctx, end := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *out, *only)
	end()
	if err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, only string) error {
	dir, err := os.MkdirTemp("", "ebb-screenshots-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f := &fleet{dir: dir, program: filepath.Join(dir, "ebb"), store: "sqlite:" + filepath.Join(dir, "ebb.db")}
	defer f.end()
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-o", f.program, "./cmd/ebb")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	if err := f.live(ctx); err != nil {
		return err
	}
	root, err := f.serve(ctx)
	if err != nil {
		return err
	}
	chrome, end, err := browser.Start(ctx, filepath.Join(dir, "chromium"))
	if err != nil {
		return err
	}
	defer end()
	pages, err := f.pages(ctx)
	if err != nil {
		return err
	}
	if only != "" {
		names := strings.Split(only, ",")
		pages = slices.DeleteFunc(pages, func(p page) bool { return !slices.Contains(names, p.name) })
	}
	for _, p := range pages {
		if err := p.picture(chrome, root, out); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// page is an address, and what to do there before the picture is taken.
type page struct{ name, path, script string }

// pages are all that there are. Those of one thing show the one with the most to tell.
func (f *fleet) pages(ctx context.Context) ([]page, error) {
	running, err := f.ebb(ctx, "jobs", "ls", "kind:ReportJob state:running", "-o", "json")
	if err != nil {
		return nil, err
	}
	failed, err := f.ebb(ctx, "jobs", "ls", "kind:InvoiceJob state:dead", "-o", "json")
	if err != nil {
		return nil, err
	}
	process, err := f.ebb(ctx, "processes", "ls", "-o", "json")
	if err != nil {
		return nil, err
	}
	const asks = `document.querySelector("[data-palette]").click()`
	return []page{
		{"overview", "/", ""}, {"stops", "/stops", ""}, {"stop", "/stops/" + f.left, ""},
		{"processes", "/processes", ""}, {"process", "/processes/" + first(process, "id"), ""},
		{"queues", "/queues", ""}, {"queue", "/queues/reports", ""},
		{"jobs", "/jobs?state=retry", ""}, {"search", "/jobs?state=retry&q=" + "kind:InvoiceJob", ""},
		{"job", "/jobs/" + first(running, "jid"), ""}, {"failed", "/jobs/" + first(failed, "jid"), ""},
		{"schedule", "/schedule", ""}, {"metrics", "/metrics", ""}, {"doctor", "/doctor", ""}, {"audit", "/audit", ""}, {"settings", "/settings", ""},
		{"palette", "/", asks},
	}, nil
}

// looks are how each page is pictured.
var looks = []browser.Look{
	{Name: "light", Width: 1280, Height: 800},
	{Name: "dark", Width: 1280, Height: 800, Dark: true},
	{Name: "phone", Width: 390, Height: 844, Dark: true},
}

// picture looks at a page in each way. What is live gets a moment to say so.
func (p page) picture(chrome context.Context, root, out string) error {
	ctx, end := chromedp.NewContext(chrome)
	defer end()
	if err := chromedp.Do(ctx); err != nil {
		return err
	}
	for _, look := range looks {
		err := chromedp.Do(ctx, look.Show, chromedp.Navigate(root+p.path), look.Show, chromedp.Sleep(time.Second))
		if err == nil && p.script != "" {
			err = chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](p.script), chromedp.Sleep(time.Second/2))
		}
		if err != nil {
			return err
		}
		shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			return err
		}
		small, err := reduce(shot)
		if err != nil {
			return err
		}
		file := filepath.Join(out, p.name+"-"+look.Name+".png")
		if err := os.WriteFile(file, small, 0o644); err != nil {
			return err
		}
		fmt.Printf("%s %d bytes\n", file, len(small))
	}
	return nil
}

// serve serves the pages, and returns their root.
func (f *fleet) serve(ctx context.Context) (string, error) {
	cmd := f.command(ctx, "web", "--listen", "127.0.0.1:0", "--title", "shop", "--env", "staging")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := f.start(cmd); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = errors.New("ebb web ended at once")
	}
	return strings.TrimSuffix(strings.TrimSpace(line), "/"), err
}
