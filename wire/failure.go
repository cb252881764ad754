package wire

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	maxMessage   = 10_000  // characters of an error message that are kept
	maxBacktrace = 4 << 20 // bytes of a backtrace, unpacked, that are read
)

// Failure is one failed run.
type Failure struct {
	Class     string // of the error
	Message   string // cut to 10,000 characters
	Backtrace []string
	At        time.Time
	Queue     string // where the job runs next; empty: as before
}

// Failed returns the payload after a failed run, as Sidekiq writes it: with a
// retry_count of 0 and failed_at the first time, then counting up with
// retried_at. As many lines of the backtrace are kept as the job asks for.
func (j *Job) Failed(f Failure) []byte {
	var p Patch
	p.Fail(j, f)
	return j.With(&p)
}

// Fail adds what [Job.Failed] changes in the payload of j to the patch, so that
// one splice can hold other changes too. A job that was given its only try back has
// failed before, and keeps the time of that: a time to retry for counts from there.
func (p *Patch) Fail(j *Job, f Failure) {
	if f.Queue != "" {
		p.SetString("queue", f.Queue)
	}
	p.SetString("error_message", cut(f.Message, maxMessage))
	p.SetString("error_class", f.Class)
	if j.Count < 0 && j.FailedAt.IsZero() {
		p.SetTime("failed_at", f.At)
		p.SetInt("retry_count", 0)
	} else {
		p.SetInt("retry_count", j.Count+1)
		p.SetTime("retried_at", f.At)
	}
	lines := f.Backtrace
	if j.Backtrace >= 0 {
		lines = lines[:min(len(lines), j.Backtrace)]
	}
	if len(lines) == 0 {
		p.Delete("error_backtrace") // one of an earlier failure would mislead
		return
	}
	p.SetString("error_backtrace", packBacktrace(lines))
}

// cut returns the first n characters of s, a byte that is not UTF-8 being one.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// RetryDelay is how long to wait before the next try of a job whose retry_count
// is count: count to the fourth power and 15 seconds, plus what jitter returns
// for 10*(count+1), in seconds, so that jobs which failed together do not return
// together. jitter must return a number in [0, n); nil picks one at random.
func RetryDelay(count int, jitter func(n int) int) time.Duration {
	const far = 300 // some 250 years; the power of a larger one would overflow
	if jitter == nil {
		jitter = rand.IntN
	}
	n := min(max(count, 0), far)
	seconds := time.Duration(n*n) * time.Duration(n*n)
	return (seconds + 15 + time.Duration(jitter(10*(n+1)))) * time.Second
}

// ErrorBacktrace returns the lines kept of the last failure, nil if there are
// none. It reads every form there has been, Sidekiq 5's plain array included.
func (j *Job) ErrorBacktrace() ([]string, error) {
	value := last(j.payload, "error_backtrace")
	if len(value) > 0 && value[0] == '[' {
		return texts(value), nil
	}
	if len(value) == 0 || value[0] != '"' {
		return nil, nil
	}
	return Backtrace(text(value))
}

// Backtrace returns the lines of an error_backtrace: Base64, in one line or
// wrapped, of a zlib stream of a JSON array of strings. The empty string has none.
func Backtrace(encoded string) ([]string, error) {
	if encoded == "" {
		return nil, nil
	}
	lines, err := unpackBacktrace(encoded)
	if err != nil {
		return nil, fmt.Errorf("wire: read error_backtrace: %w", err)
	}
	return lines, nil
}

func unpackBacktrace(encoded string) ([]string, error) {
	packed, err := base64.StdEncoding.DecodeString(encoded) // skips line ends
	if err != nil {
		return nil, err
	}
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBacktrace+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBacktrace {
		return nil, errors.New("too long")
	}
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		return nil, err
	}
	return lines, nil
}

// deflaters are kept, as a new one takes some 800 KB: jobs tend to fail together.
var deflaters = sync.Pool{New: func() any { return zlib.NewWriter(io.Discard) }}

func packBacktrace(lines []string) string {
	var packed bytes.Buffer
	w := deflaters.Get().(*zlib.Writer)
	defer deflaters.Put(w)
	w.Reset(&packed)
	// Writing to a buffer cannot fail.
	_, _ = w.Write(appendStrings(nil, lines))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(packed.Bytes())
}
