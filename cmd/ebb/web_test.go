package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/web"
)

// serving runs ebb web on a store with jobs until the test ends, and returns its
// address.
func serving(t *testing.T, args ...string) (address string, end func() int) {
	t.Helper()
	url := "sqlite:" + filepath.Join(t.TempDir(), "ebb.db")
	if err := seed(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, append([]string{"web", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), in, io.Discard, []string{"EBB_STORE=" + url})
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v, exit code %d", err, <-exit)
	}
	end = func() int {
		cancel()
		code := <-exit
		exit <- code
		return code
	}
	t.Cleanup(func() { end() })
	return strings.TrimSpace(line), end
}

func askWeb(t *testing.T, address string, edit func(*http.Request)) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(r)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestWebEnds: a stream that is open does not hold up the end, and hears of it.
func TestWebEnds(t *testing.T) {
	t.Parallel()
	address, end := serving(t)
	answer, err := http.Get(address + "live?topic=deploy&page=/&version=")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	began := time.Now()
	if code := end(); code != exitOK || time.Since(began) > 10*time.Second {
		t.Errorf("exit code %d after %v, want 0 soon", code, time.Since(began))
	}
	if said, _ := io.ReadAll(answer.Body); !strings.Contains(string(said), "event: bye") {
		t.Errorf("the stream ended without a word: %q", said)
	}
}

func TestWebBelowABase(t *testing.T) {
	t.Parallel()
	address, _ := serving(t, "--base", "/a/jobs/", "--title", "shop")
	if !strings.HasSuffix(address, "/a/jobs/") {
		t.Errorf("it says %s", address)
	}
	if status, body := askWeb(t, address+"more", nil); status != 200 || !strings.Contains(body, `href="/a/jobs/find"`) || !strings.Contains(body, "shop") {
		t.Errorf("%d %s", status, body)
	}
}

func TestWebAsksWhoItIs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "people")
	text := fmt.Sprintf("# who\nada:admin:s3:cret\nbob:viewer:sha256:%x\n", sha256.Sum256([]byte("a long token")))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address, _ := serving(t, "--auth", "basic:"+file)
	for password, want := range map[string]int{"s3:cret": 200, "s3": 401, "": 401} {
		if status, _ := askWeb(t, address, func(r *http.Request) { r.SetBasicAuth("ada", password) }); status != want {
			t.Errorf("password %q: %d, want %d", password, status, want)
		}
	}
	if status, _ := askWeb(t, address, func(r *http.Request) { r.SetBasicAuth("bob", "a long token") }); status != 200 {
		t.Errorf("hashed password: %d, want 200", status)
	}
	bearer, _ := serving(t, "--auth", "bearer:"+file)
	if status, _ := askWeb(t, bearer, func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3:cret") }); status != 200 {
		t.Errorf("token: %d, want 200", status)
	}
}

func TestPeople(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0a", 32)
	for line, want := range map[string]string{
		"ada:admin:secret":           "",
		"ada:admin:sha256:" + sum:    "",
		"ada:admin:sha256:abc":       "want 64 hex digits behind sha256:",
		"ada:root:s3cret":            "want a name, a colon, and viewer, operator or admin",
		":admin:s3cret":              "want a name, a colon, and viewer, operator or admin",
		"ada:s3cret":                 "want a name, a colon, and viewer, operator or admin",
		"ada:admin":                  "want a secret behind the role",
		"ada:admin:sha256:" + "zz":   "want 64 hex digits behind sha256:",
		"ada:operator:with : spaces": "",
	} {
		_, err := parsePerson(line, true)
		if got := ""; err != nil {
			if got = err.Error(); got != want || strings.Contains(got, "s3cret") {
				t.Errorf("%s: %q, want %q", line, got, want)
			}
		} else if want != "" {
			t.Errorf("%s is taken, want %q", line, want)
		}
	}
	all := roster{{name: "ada", role: web.Admin}, {name: "*", role: web.Viewer}}
	if all.role(web.User{Name: "ada"}) != web.Admin || all.role(web.User{Name: "eve"}) != web.Viewer || all[:1].role(web.User{Name: "eve"}) != web.Nobody {
		t.Error("roles are not those of the file")
	}
}

func TestWebRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("ada:admin:s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		exit int
		said string
	}{
		"reached by all, nobody asked": {[]string{"--listen", ":0"}, exitUsage, "nobody would be asked who they are\nhint: add --auth"},
		"by name, nobody asked":        {[]string{"--listen", "jobs.example:0"}, exitUsage, "nobody would be asked"},
		"nobody asks, under any name":  {[]string{"--listen", ":0", "--auth", "none"}, exitUsage, "--auth none needs the names"},
		"a file that others can read":  {[]string{"--auth", "basic:" + open}, exitUsage, "hint: chmod 600"},
		"a way that is none":           {[]string{"--auth", "magic"}, exitUsage, "there is no such way"},
		"a proxy without a network":    {[]string{"--auth", "proxy:X-User"}, exitUsage, "want proxy:HEADER,CIDR"},
		"roles without a proxy":        {[]string{"--roles", open}, exitUsage, "--roles is for"},
		"a network that is none":       {[]string{"--trust", "ten"}, exitUsage, `"ten" is not a network`},
		"an address in use":            {nil, exitFailed, "hint: --listen 127.0.0.1:0 takes a free port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"web"}, c.args...)
			if c.args == nil {
				address, _ := serving(t)
				args = append(args, "--listen", strings.Trim(strings.TrimPrefix(address, "http:"), "/"))
			}
			exit, said := called(t, args, "EBB_STORE=mem:")
			if exit != c.exit || !strings.Contains(said, c.said) || strings.Contains(said, "s3cret") {
				t.Errorf("exit code %d, want %d and %q:\n%s", exit, c.exit, c.said, said)
			}
		})
	}
	if exit, said := called(t, []string{"web"}, "EBB_STORE=redis://127.0.0.1:1/0"); exit != exitStore {
		t.Errorf("exit code %d without a store, want %d:\n%s", exit, exitStore, said)
	}
}
