package proctitle

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// childName is how the test binary is called when it is to do as it is told.
const childName = "titled"

func TestMain(m *testing.M) {
	if os.Args[0] == childName {
		obey()
		return
	}
	m.Run()
}

// obey answers each line of standard input with one.
func obey() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "set":
			Set(rest)
			fmt.Println()
		case "room":
			fmt.Println(Room())
		case "args":
			fmt.Println(strings.Join(os.Args, " "))
		case "env":
			fmt.Println(os.Getenv(rest))
		}
	}
}

type child struct {
	t   *testing.T
	pid int
	in  io.Writer
	out *bufio.Reader
}

// start starts a child with these further arguments, and no other environment than env.
func start(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env, cmd.Stderr = append([]string{childName}, args...), append([]string{}, env...), os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	})
	return &child{t, cmd.Process.Pid, in, bufio.NewReader(out)}
}

func (c *child) tell(line string) string {
	c.t.Helper()
	fmt.Fprintln(c.in, line)
	answer, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSuffix(answer, "\n")
}

// cmdline is what /proc has, without the zeros that it may end with.
func (c *child) cmdline() string {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.pid))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimRight(string(text), "\x00")
}

const (
	running  = "sidekiq 8.1.7 ebb shop [2 of 10 busy]"
	stopping = "sidekiq 8.1.7 ebb shop [10 of 10 busy] stopping"
)

func TestTheTitleIsShown(t *testing.T) {
	t.Parallel()
	env := []string{"PATH=/usr/bin:/bin", "GORACE=atexit_sleep_ms=0", "EBB_LAST=" + strings.Repeat("x", 100)}
	for name, args := range map[string][]string{
		"no arguments":                nil,
		"as long as the title":        {strings.Repeat("a", len(running)-len(childName)-2)},
		"a byte shorter":              {strings.Repeat("a", len(running)-len(childName)-3)},
		"a byte longer":               {strings.Repeat("a", len(running)-len(childName)-1)},
		"longer than any title":       {strings.Repeat("long ", 1000), "b"},
		"empty arguments at the end":  {"a", "", ""},
		"much more than a page of it": {strings.Repeat("z", 100_000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, env, args...)
			for _, title := range []string{running, stopping, running, "short", stopping, ""} {
				c.tell("set " + title)
				if got := c.cmdline(); got != title {
					t.Errorf("/proc shows %.100q, want %q", got, title)
				}
			}
			if got, want := c.tell("args"), strings.Join(append([]string{childName}, args...), " "); got != want {
				t.Errorf("os.Args are %.100q, want %.100q", got, want)
			}
			for _, variable := range env {
				name, value, _ := strings.Cut(variable, "=")
				if got := c.tell("env " + name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestPsShowsTheTitle(t *testing.T) {
	t.Parallel()
	c := start(t, []string{"A=" + strings.Repeat("x", 100)})
	c.tell("set " + stopping)
	out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(c.pid)).Output()
	if err != nil {
		t.Fatalf("%v\nhint: apt-get install procps", err)
	}
	if got := strings.TrimSuffix(string(out), "\n"); got != stopping {
		t.Errorf("ps shows %q", got)
	}
}

// What is there bounds a title, and one that does not fit leaves all as it is.
func TestATitleThatDoesNotFitIsNotShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, args []string
		room      int
	}{
		"neither arguments nor environment": {nil, nil, len(childName)},
		"hardly any environment":            {[]string{"A=b"}, nil, len(childName) + 4},
		"more than a page":                  {[]string{"A=" + strings.Repeat("x", 10_000)}, nil, 4095},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.env, c.args...)
			if got := p.tell("room"); got != strconv.Itoa(c.room) {
				t.Fatalf("room for %s bytes, want %d", got, c.room)
			}
			before := p.cmdline()
			p.tell("set " + strings.Repeat("x", c.room+1))
			if got := p.cmdline(); got != before {
				t.Errorf("one that does not fit: %.100q", got)
			}
			fits := strings.Repeat("y", c.room)
			p.tell("set " + fits)
			if got := p.cmdline(); got != fits {
				t.Errorf("one that just fits: %.100q", got)
			}
		})
	}
}
