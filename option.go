package ebb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ebbjobs/ebb/wire"
)

// Option says how a job is enqueued or run. Given to [Define] it is the default of
// its kind; given to Enqueue, EnqueueMany or [Client.Push] it counts for that call;
// given to Handle it counts where the payload says nothing. The later one wins. An
// option in a place where it has no meaning is an error, and a panic in Define and
// Handle.
type Option struct {
	name string
	at   place
	set  func(*options) error
}

// place is where an option may be given.
type place uint8

const (
	atDefine place = 1 << iota
	atEnqueue
	atHandle

	anywhere = atDefine | atEnqueue | atHandle
)

func (p place) String() string {
	var names []string
	for i, name := range []string{"Define", "Enqueue", "Handle"} {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// options is what all options given so far add up to.
type options struct {
	queue      string
	retry      wire.Retry
	retryQueue string
	retryFor   time.Duration
	noDead     bool
	backtrace  int
	tags       []string
	in         time.Duration
	at         time.Time
	jid        string
	timeout    time.Duration
	expires    time.Duration
	asObject   bool
	hideArgs   bool
	fields     []wire.Field
	backoff    func(n int, err error) time.Duration
}

// with returns o after opts, which were given at p. All problems are told at once.
func (o options) with(p place, opts []Option) (options, error) {
	if len(opts) == 0 {
		return o, nil
	}
	var problems []error
	for _, opt := range opts {
		switch {
		case opt.set == nil: // the zero Option
		case opt.at&p == 0:
			problems = append(problems, fmt.Errorf("option %s means nothing to %v, give it to %v", opt.name, p, opt.at))
		default:
			if err := opt.set(&o); err != nil {
				problems = append(problems, fmt.Errorf("option %s: %w", opt.name, err))
			}
		}
	}
	return o, errors.Join(problems...)
}

// Queue names the queue of a job; the default is "default". Names of letters,
// digits and "_:.-" can be seen in Sidekiq's own web pages; other names work too,
// but white space, control characters and braces are refused.
func Queue(name string) Option {
	return Option{"Queue", atDefine | atEnqueue, func(o *options) error {
		o.queue = name
		return checkQueue(name)
	}}
}

// Retry says how often a job that failed is tried again; the default is 25. With 0
// it goes to the dead set at its first failure.
func Retry(n int) Option {
	return Option{"Retry", anywhere, func(o *options) error {
		if n < 0 {
			return fmt.Errorf("%d is negative; NoRetry turns retries off", n)
		}
		o.retry = wire.RetryTimes(n)
		return nil
	}}
}

// NoRetry forgets a job at its first failure: no other try, not even a place in
// the dead set.
func NoRetry() Option {
	return Option{"NoRetry", anywhere, func(o *options) error {
		o.retry = wire.NoRetry
		return nil
	}}
}

// maxRetryFor is Sidekiq's limit: above it, it takes the number for a date.
const maxRetryFor = 1_000_000_000 * time.Second

// RetryFor tries a job that failed again for d after its first failure, however
// often that is. It is kept in whole seconds.
func RetryFor(d time.Duration) Option {
	return Option{"RetryFor", anywhere, func(o *options) error {
		if d < time.Second || d >= maxRetryFor {
			return fmt.Errorf("%v is not between a second and 31 years", d)
		}
		o.retryFor = d
		return nil
	}}
}

// RetryQueue names another queue for the tries after the first.
func RetryQueue(name string) Option {
	return Option{"RetryQueue", anywhere, func(o *options) error {
		o.retryQueue = name
		return checkQueue(name)
	}}
}

// NoDead forgets a job that is out of tries, instead of keeping it in the dead set.
func NoDead() Option {
	return Option{"NoDead", anywhere, func(o *options) error {
		o.noDead = true
		return nil
	}}
}

// AllLines is the number of lines of a whole backtrace.
const AllLines = -1

// Backtrace keeps the first n lines of a failure's stack in the payload; the
// default is 0, none, and [AllLines] keeps all.
func Backtrace(n int) Option {
	return Option{"Backtrace", anywhere, func(o *options) error {
		if n < AllLines {
			return fmt.Errorf("%d is negative; AllLines keeps all", n)
		}
		o.backtrace = n
		return nil
	}}
}

// Tags are words that people see beside the job. They replace those given before.
func Tags(tags ...string) Option {
	return Option{"Tags", atDefine | atEnqueue, func(o *options) error {
		o.tags = slices.Clone(tags)
		return checkTags(tags)
	}}
}

// In delays a job by d, counted by the store's clock. Zero or less means now.
func In(d time.Duration) Option {
	return Option{"In", atDefine | atEnqueue, func(o *options) error {
		o.in, o.at = max(d, 0), time.Time{}
		return nil
	}}
}

// At delays a job until t. A t that has passed means now.
func At(t time.Time) Option {
	return Option{"At", atEnqueue, func(o *options) error {
		if t.IsZero() {
			return errors.New("the time is zero")
		}
		o.in, o.at = 0, t
		return nil
	}}
}

// Timeout ends the context of a run that takes longer than d, with the cause
// [ErrTimeout]; that is a failure. Without it a job may take for ever.
func Timeout(d time.Duration) Option {
	return Option{"Timeout", anywhere, func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("%v is not positive", d)
		}
		o.timeout = d
		return nil
	}}
}

// Expires forgets a job that has not begun d after it was due. A job that was
// interrupted has begun.
func Expires(d time.Duration) Option {
	return Option{"Expires", atDefine | atEnqueue, func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("%v is not positive", d)
		}
		o.expires = d
		return nil
	}}
}

// JID sets the id of a job, which is otherwise made up. It does not make the job
// unique: two jobs of one jid are two jobs.
func JID(jid string) Option {
	return Option{"JID", atEnqueue, func(o *options) error {
		o.jid = jid
		return checkName("jid", jid)
	}}
}

// AsObject sends the arguments as one JSON object, by the rules of encoding/json,
// instead of one argument for each field.
func AsObject() Option {
	return Option{"AsObject", atDefine, func(o *options) error {
		o.asObject = true
		return nil
	}}
}

// HideArgs keeps the arguments of a job from people's eyes. They are still stored
// as they are.
func HideArgs() Option {
	return Option{"HideArgs", atDefine | atEnqueue, func(o *options) error {
		o.hideArgs = true
		return nil
	}}
}

// Field adds a field of its own to the payload, beside the arguments, for
// middleware on either side and in either language to read. Fields that Sidekiq or
// ebb give a meaning to are refused.
func Field(key string, value any) Option {
	return Option{"Field", atDefine | atEnqueue, func(o *options) error {
		if err := checkField(key); err != nil {
			return err
		}
		raw, err := encode(value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		o.fields = slices.DeleteFunc(slices.Clone(o.fields), func(f wire.Field) bool { return f.Key == key })
		o.fields = append(o.fields, wire.Field{Key: key, Value: raw})
		return nil
	}}
}

// Backoff says how long to wait after the n-th failure, from 1, which was err. The
// default is Sidekiq's: n⁴ + 15 seconds and some jitter. An answer of zero or less
// means the default.
func Backoff(wait func(n int, err error) time.Duration) Option {
	return Option{"Backoff", atDefine | atHandle, func(o *options) error {
		if wait == nil {
			return errors.New("the function is nil")
		}
		o.backoff = wait
		return nil
	}}
}

// checkQueue says what is wrong with the name of a queue.
func checkQueue(name string) error {
	if err := checkName("queue", name); err != nil {
		return err
	}
	// Keys are built around the name, and on a cluster braces choose the node.
	if strings.ContainsAny(name, "{}") {
		return fmt.Errorf("queue %q has a brace in it", name)
	}
	return nil
}

// checkName says what is wrong with a name that appears in keys, logs and pages.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the %s is empty", what)
	case len(name) > 255:
		return fmt.Errorf("the %s is %d bytes long, and 255 are allowed", what, len(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("%s %q is not valid UTF-8", what, name)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return fmt.Errorf("%s %q has white space or a control character in it", what, name)
	}
	return nil
}

func checkTags(tags []string) error {
	for _, tag := range tags {
		if tag == "" || !utf8.ValidString(tag) {
			return fmt.Errorf("%q is not a tag", tag)
		}
	}
	return nil
}

// taken are the fields that have a meaning, and what sets them.
var taken = map[string]string{
	"class": "Define", "args": "the arguments", "jid": "JID", "queue": "Queue",
	"retry": "Retry", "retry_queue": "RetryQueue", "retry_for": "RetryFor", "dead": "NoDead",
	"backtrace": "Backtrace", "tags": "Tags", "at": "At",
	"created_at": "", "enqueued_at": "", "failed_at": "", "retried_at": "", "retry_count": "",
	"error_class": "", "error_message": "", "error_backtrace": "", "ebb": "",
}

func checkField(key string) error {
	setter, isTaken := taken[key]
	switch {
	case key == "" || !utf8.ValidString(key):
		return fmt.Errorf("%q is not a field's name", key)
	case isTaken && setter != "":
		return fmt.Errorf("the field %q is set by %s", key, setter)
	case isTaken:
		return fmt.Errorf("the field %q is kept by ebb", key)
	}
	return nil
}
