package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ebbjobs/ebb/internal/parallel"
	"github.com/ebbjobs/ebb/internal/redistest"
)

// children are what the test binary is when a test starts it again with the name in
// EBB_INTEROP_CHILD, instead of running tests. Files add theirs in an init.
var children = map[string]func(){}

// measured prints a figure that people want to see of tests that pass, too.
func measured(t testing.TB, format string, args ...any) {
	t.Attr("measured", fmt.Sprintf(format, args...))
}

// scratch is a folder for what all tests share.
var scratch string

func TestMain(m *testing.M) {
	if child := children[os.Getenv("EBB_INTEROP_CHILD")]; child != nil {
		child()
		return
	}
	dir, err := os.MkdirTemp("", "ebb-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	parallel.Tests(4)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		driver.stop()
		os.RemoveAll(scratch)
		os.Exit(code)
	}))
}

// driverProgram answers each line of standard input, an address of Redis and a program,
// with a line of JSON: what the program's last expression is, or how it failed. What
// programs print goes to standard error, and their constants stay.
const driverProgram = `
require "json"
require "sidekiq"
require "sidekiq/api"
Sidekiq.logger.level = Logger::FATAL
answers = $stdout.dup
$stdout.reopen($stderr)
pools = Hash.new { |all, url| all[url] = Sidekiq::RedisConnection.create(url: url, size: 5) }
$stdin.each_line do |line|
  request = JSON.parse(line)
  Sidekiq.redis = pools[request["url"]]
  answer = begin
    { value: Object.class_eval("proc do\n#{request["program"]}\nend", "(program)", 0).call }
  rescue Exception => e
    { error: "#{e.class}: #{e.message}\n#{e.backtrace.grep(/program/).join("\n")}" }
  end
  answers.puts JSON.generate(answer)
  answers.flush
end
`

// rubyDriver is one Ruby process, started when it is first needed. It ends with its
// standard input, so a test binary that is killed leaves none behind.
type rubyDriver struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

var driver rubyDriver

// rubyEval runs a Ruby program with Sidekiq's client and API, on that server, and
// returns the JSON of its last expression's value. An exception ends the test. Programs
// run one at a time, in one process for all tests: give classes and constants names of
// your own, and do not sleep.
func rubyEval(t testing.TB, server *redistest.Server, program string) json.RawMessage {
	t.Helper()
	value, err := driver.eval(server.URL(), program)
	if err != nil {
		t.Fatalf("ruby: %v\nhint: apt-get install ruby-sidekiq", err)
	}
	return value
}

// rubyInto is rubyEval for a value of a type: an object for a struct, and so on.
func rubyInto[T any](t testing.TB, server *redistest.Server, program string) (value T) {
	t.Helper()
	text := rubyEval(t, server, program)
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("ruby: answered %s: %v", text, err)
	}
	return value
}

func (d *rubyDriver) eval(url, program string) (json.RawMessage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		if err := d.start(); err != nil {
			return nil, err
		}
	}
	if err := json.NewEncoder(d.in).Encode(map[string]string{"url": url, "program": program}); err != nil {
		return nil, err
	}
	line, err := d.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the driver is gone: %w", err)
	}
	var answer struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s\nin\n%s", answer.Error, program)
	}
	return answer.Value, nil
}

func (d *rubyDriver) start() error {
	cmd := exec.Command("ruby", "-W0", "-e", driverProgram)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.cmd, d.in, d.out = cmd, in, bufio.NewReader(out)
	return nil
}

// stop ends the driver, if there is one.
func (d *rubyDriver) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd != nil {
		d.in.Close()
		d.cmd.Wait()
	}
}
