package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/console"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
)

// enqueueFlags are what ebb enqueue is told.
type enqueueFlags struct {
	args    string
	strings bool
	queue   string
	in      time.Duration
	at      string
	retry   string
	tags    []string
	jid     string
	timeout time.Duration
	expires time.Duration
	dryRun  bool

	wait        bool
	waitTimeout time.Duration

	from      string
	skipBad   bool
	resume    string
	uncertain string
}

// enqueued is a job that was put.
type enqueued struct {
	JID   string    `json:"jid"`
	Kind  string    `json:"kind"`
	Queue string    `json:"queue"`
	State string    `json:"state"`       // ready, scheduled; with --wait done, failed, dead
	At    time.Time `json:"at,omitzero"` // when it is due
	Error string    `json:"error,omitempty"`
}

func newEnqueue(a *app) *cobra.Command {
	var f enqueueFlags
	cmd := &cobra.Command{
		Use:   "enqueue KIND [ARGS…] | --from FILE",
		Short: "Enqueue a job, or a file of jobs",
		Long: `Enqueue a job of any kind, whichever program runs it.

Each of ARGS is an argument of the job: JSON where it reads as JSON, so that 42 is
a number and true a boolean, and else a string. --string makes strings of them all,
and --args gives the whole array exactly. Put -- before an argument that begins
with a minus.

--from reads jobs from a file, or with - from the input, one JSON object a line:
a whole payload as Sidekiq writes it ("class", "args", …), which is put byte for
byte; a line of ebb jobs export, likewise; or the short form with "kind" and, as
wanted, "args", "queue", "in", "at", "retry", "jid" and "tags". It takes little
memory however long the file is. A line that is no job ends it there, named by its
number, unless --skip-bad is given. Whatever ends it, ^C and kill -9 included, the
same command with --resume ID goes on so that each line is put once: the file must
be the same up to there. If a batch was cut in the middle and is older than the
store's memory of it, which on Redis is an hour, it asks to be told by --uncertain.

With --wait the exit code tells how the job ended: 0 done (or discarded), 1 failed
or dead, 2 not done within --wait-timeout.`,
		Example: example(
			"ebb enqueue ResizeImage cat.jpg 800",
			"ebb enqueue EmailJob '{\"to\":\"ada@example.com\"}' --queue mailers --in 10m",
			"ebb enqueue ReportJob --args '[7,{\"format\":\"pdf\"}]' --at 2031-01-01T06:00:00Z",
			"ebb enqueue --from jobs.jsonl",
			"ebb jobs export state:dead | ebb enqueue --from - --store sqlite:copy.db",
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			if !f.dryRun {
				if err := a.writable(); err != nil {
					return err
				}
			}
			if cmd.Flags().Changed("from") || f.resume != "" {
				return newBatches(a, &f).run(cmd.Context(), cmd.InOrStdin())
			}
			return f.one(cmd.Context(), a, args[0], args[1:])
		},
	}
	f.flags(a, cmd)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && strings.ContainsAny(unknown.GetSpecifiedName(), "0123456789") {
			return code(exitUsage, store.WithHint(err, "put -- before arguments that begin with a minus"))
		}
		return flagError(cmd, err)
	})
	return cmd
}

func (f *enqueueFlags) flags(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.args, "args", "", "all arguments as one JSON `ARRAY`")
	flags.BoolVar(&f.strings, "string", false, "arguments are strings, also those that read as JSON")
	flags.StringVarP(&f.queue, "queue", "q", "default", "the job's `QUEUE`")
	flags.DurationVar(&f.in, "in", 0, "run it that much later, such as 10m")
	flags.StringVar(&f.at, "at", "", "run it at that `TIME`, such as 2031-01-01T06:00:00Z")
	flags.StringVar(&f.retry, "retry", "true", "how `OFTEN` it is tried again: a number, true (25) or false (forgotten when it fails)")
	flags.StringSliceVar(&f.tags, "tags", nil, "`WORDS` that people see beside the job")
	flags.StringVar(&f.jid, "jid", "", "its id (default: a new one)")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long one run may take")
	flags.DurationVar(&f.expires, "expires", 0, "forget it if it has not begun that long after it was due")
	flags.BoolVar(&f.wait, "wait", false, "wait until it is done")
	flags.DurationVar(&f.waitTimeout, "wait-timeout", 0, "wait no longer than that")
	flags.StringVar(&f.from, "from", "", "put the jobs in this `FILE`; - is the input")
	flags.BoolVar(&f.skipBad, "skip-bad", false, "with --from: pass over lines that are no jobs")
	flags.StringVar(&f.resume, "resume", "", "go on with the --from that has this `ID`")
	flags.StringVar(&f.uncertain, "uncertain", "", "with --resume: `HOW` to take a batch of which nobody knows whether it is in, put or skip")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the payload, or check the file, and put nothing")
	cmd.ValidArgsFunction = a.completeJobs(1, kindOf)
	cmd.RegisterFlagCompletionFunc("queue", a.completeQueues(0))
	a.outputFlag(cmd, formTable, formJSON, formName)
}

// perJob are the flags that say something about one job, which the lines of a file
// say themselves.
var perJob = []string{"args", "string", "queue", "in", "at", "retry", "tags", "jid", "timeout", "expires", "wait", "wait-timeout"}

func (f *enqueueFlags) check(cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	if given("from") || given("resume") {
		if len(args) > 0 {
			return usage("%q: --from takes the kinds from the file", args[0])
		}
		for _, name := range perJob {
			if given(name) {
				return usage("--%s means nothing with --from: each line says it for itself", name)
			}
		}
		if f.dryRun && given("resume") {
			return usage("--dry-run checks a file from its beginning: leave out --resume")
		}
		switch f.uncertain {
		case "", "put", "skip":
		default:
			return usage("--uncertain %q is neither put nor skip", f.uncertain)
		}
		return nil
	}
	for _, name := range []string{"skip-bad", "uncertain"} {
		if given(name) {
			return usage("--%s means nothing without --from", name)
		}
	}
	switch {
	case len(args) == 0:
		return code(exitUsage, store.WithHint(errors.New("ebb enqueue needs a KIND, or --from FILE"), "such as ebb enqueue ResizeImage cat.jpg"))
	case given("args") && len(args) > 1:
		return usage("%q: --args gives all arguments", args[1])
	case given("args") && f.strings:
		return usage("--args and --string exclude each other")
	case given("in") && given("at"):
		return usage("--in and --at exclude each other")
	case f.in < 0:
		return usage("--in %v is negative", f.in)
	case given("wait-timeout") && !f.wait:
		return usage("--wait-timeout means nothing without --wait")
	case f.wait && f.retry == "false":
		return code(exitUsage, store.WithHint(errors.New("--wait cannot see how a job ends that is forgotten when it fails"), "give it --retry 0: then it goes to the dead set"))
	}
	return nil
}

// one puts a single job.
func (f *enqueueFlags) one(ctx context.Context, a *app, kind string, args []string) error {
	array, err := f.array(args)
	if err != nil {
		return err
	}
	opts, err := f.options()
	if err != nil {
		return err
	}
	job := ebb.Envelope{Kind: kind, Args: array}
	item, later, err := built(ctx, job, opts)
	if err != nil {
		return code(exitUsage, err)
	}
	put := enqueued{JID: item.JID, Kind: item.Kind, Queue: item.Queue, State: "ready"}
	if later {
		put.State, put.At = "scheduled", item.At.UTC()
		if item.At.IsZero() {
			put.At = a.now().Add(item.Delay).UTC()
		}
	}
	if f.dryRun {
		_, err := fmt.Fprintf(a.term.Out, "%s\n", item.Payload)
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	job.JID = item.JID
	if _, err := client.Push(ctx, job, opts...); err != nil {
		return f.refused(err, &put)
	}
	if f.wait {
		return f.waitFor(ctx, a, put)
	}
	return put.print(a)
}

// refused adds to the error of a push what to do about it.
func (f *enqueueFlags) refused(err error, put *enqueued) error {
	switch {
	case errors.Is(err, ebb.ErrUncertain):
		return store.WithHint(err, "look for it before you enqueue it again: ebb jobs show %s", put.JID)
	case errors.Is(err, ebb.ErrFull) && store.Hint(err) == "":
		return store.WithHint(err, "room comes back as jobs are done: ebb queues ls shows what waits")
	}
	return err
}

// array is the job's arguments as they travel.
func (f *enqueueFlags) array(args []string) (json.RawMessage, error) {
	if f.args != "" {
		trimmed := strings.TrimSpace(f.args)
		if !strings.HasPrefix(trimmed, "[") || !utf8.ValidString(trimmed) || !json.Valid([]byte(trimmed)) {
			return nil, code(exitUsage, store.WithHint(fmt.Errorf("--args %q is not a JSON array", f.args), `such as --args '[1,{"a":2}]'`))
		}
		return json.RawMessage(trimmed), nil
	}
	array := []byte{'['}
	for i, arg := range args {
		if i > 0 {
			array = append(array, ',')
		}
		if !utf8.ValidString(arg) {
			return nil, usage("argument %d is not UTF-8, as JSON has to be", i+1)
		}
		trimmed := bytes.TrimSpace([]byte(arg))
		if !f.strings && json.Valid(trimmed) {
			array = append(array, trimmed...)
			continue
		}
		quoted, err := encodeJSON(arg)
		if err != nil {
			return nil, err
		}
		array = append(array, quoted...)
	}
	return append(array, ']'), nil
}

// options are those that the flags stand for.
func (f *enqueueFlags) options() ([]ebb.Option, error) {
	retry, err := parseRetry(f.retry)
	if err != nil {
		return nil, usage("--retry: %w", err)
	}
	opts := []ebb.Option{ebb.Queue(f.queue), retry}
	if f.in > 0 {
		opts = append(opts, ebb.In(f.in))
	}
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return nil, code(exitUsage, store.WithHint(fmt.Errorf("--at %q is not a time", f.at), "write it as 2031-01-01T06:00:00Z, or with the zone: 2031-01-01T06:00:00+02:00"))
		}
		opts = append(opts, ebb.At(at))
	}
	if len(f.tags) > 0 {
		opts = append(opts, ebb.Tags(f.tags...))
	}
	if f.jid != "" {
		opts = append(opts, ebb.JID(f.jid))
	}
	if f.timeout != 0 {
		opts = append(opts, ebb.Timeout(f.timeout))
	}
	if f.expires != 0 {
		opts = append(opts, ebb.Expires(f.expires))
	}
	return opts, nil
}

// parseRetry reads Sidekiq's values of retry: a number, true or false.
func parseRetry(s string) (ebb.Option, error) {
	switch s {
	case "true":
		return ebb.Option{}, nil
	case "false":
		return ebb.NoRetry(), nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return ebb.Option{}, fmt.Errorf("%q is neither a number nor true nor false", s)
	}
	return ebb.Retry(n), nil
}

func (p *enqueued) print(a *app) error {
	if a.flags.output == formName || a.flags.output == "" && !a.term.OutWatched {
		_, err := fmt.Fprintln(a.term.Out, p.JID)
		return err
	}
	return a.show(p, func(page *page) {
		switch p.State {
		case "done":
			page.line("%s %s is %s", p.Kind, console.Code(p.JID), console.Good("done"))
		case "scheduled":
			page.line("%s %s waits in %s, due %s", p.Kind, console.Code(p.JID), p.Queue, prose.When(p.At, a.now()))
		case "ready":
			page.line("%s %s is in queue %s", p.Kind, console.Code(p.JID), p.Queue)
		default:
			page.line("%s %s is %s", p.Kind, console.Code(p.JID), console.Bad(p.State))
		}
	})
}

// built lets the library make a job's payload without a store, so that the same
// rules hold and the same errors are told as in a program.
func built(ctx context.Context, job ebb.Envelope, opts []ebb.Option) (item store.Item, later bool, err error) {
	var c catcher
	_, err = ebb.NewClient(&c).Push(ctx, job, opts...)
	return c.item, c.later, err
}

// catcher is a store that keeps the last job for its owner to look at.
type catcher struct {
	store.Store
	item  store.Item
	later bool
}

func (c *catcher) Push(_ context.Context, _ store.Call, items ...store.Item) ([]store.Result, error) {
	c.item, c.later = items[0], false
	return nil, nil
}

func (c *catcher) Schedule(_ context.Context, _ store.Call, items ...store.Item) ([]store.Result, error) {
	c.item, c.later = items[0], true
	return nil, nil
}
