package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/internal/export"
	"github.com/ebbjobs/ebb/internal/nearest"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// fileJob is a line of a file of jobs, read.
type fileJob struct {
	store.Item
	later bool // into the scheduled set, else into its queue
}

// parseLine reads a line in one of its three forms. Began is when the file was
// begun, in whichever run that was: times are compared with it, so that a line that
// is read again goes where it went the first time.
func parseLine(ctx context.Context, line []byte, began time.Time) (fileJob, error) {
	payload := bytes.Clone(line)
	job, err := wire.Parse(payload)
	if err == nil {
		return sidekiqLine(job, began)
	}
	if !json.Valid(payload) || payload[0] != '{' {
		return fileJob{}, errors.New("it is not a JSON object")
	}
	var form struct {
		Class   json.RawMessage `json:"class"`
		Payload json.RawMessage `json:"payload"`
		Base64  json.RawMessage `json:"payload_base64"`
		Kind    json.RawMessage `json:"kind"`
	}
	if err := json.Unmarshal(payload, &form); err != nil {
		return fileJob{}, err
	}
	switch {
	case form.Class != nil:
		return fileJob{}, reason(err)
	case form.Payload != nil || form.Base64 != nil:
		return exportLine(payload, began)
	case form.Kind != nil:
		return shortLine(ctx, payload, began)
	}
	return fileJob{}, errors.New(`it is no job: it has neither "class" nor "kind" nor "payload"`)
}

// reason is what is wrong with a payload, without the name of the package.
func reason(err error) error {
	if bad, ok := errors.AsType[*wire.PayloadError](err); ok {
		return fmt.Errorf("%s at byte %d", bad.Reason, bad.Offset)
	}
	return err
}

// sidekiqLine is a payload as it stands. Only what a store must know is put in where
// it lacks, and "at" taken out, as Sidekiq's own clients do.
func sidekiqLine(job *wire.Job, began time.Time) (fileJob, error) {
	var change wire.Patch
	changed := false
	if job.JID == "" {
		job.JID = wire.NewJID(began)
		change.SetString("jid", job.JID)
		changed = true
	}
	if job.Queue == "" {
		job.Queue = "default"
		change.SetString("queue", job.Queue)
		changed = true
	}
	var at time.Time
	if bytes.Contains(job.Payload(), []byte(`"at"`)) {
		var when struct {
			At *float64 `json:"at"`
		}
		if err := json.Unmarshal(job.Payload(), &when); err != nil {
			return fileJob{}, errors.New(`"at" is not a number of seconds`)
		}
		if when.At != nil {
			at = time.UnixMicro(int64(*when.At * 1e6))
			change.Delete("at")
			changed = true
		}
	}
	payload := job.Payload()
	if changed {
		payload = job.With(&change)
	}
	return fitting(job, job.Queue, payload, at, began)
}

// exportLine is what ebb jobs export has written.
func exportLine(line []byte, began time.Time) (fileJob, error) {
	r, err := export.Parse(line)
	if err != nil {
		return fileJob{}, errors.New(strings.TrimPrefix(err.Error(), "export: parse line: "))
	}
	job, err := wire.Parse(r.Payload)
	if err != nil {
		return fileJob{}, fmt.Errorf("in the payload: %w", reason(err))
	}
	queue := r.Queue
	if queue == "" {
		queue = job.Queue
	}
	if queue == "" {
		return fileJob{}, errors.New("neither the line nor the payload names a queue")
	}
	return fitting(job, queue, r.Payload, r.At, began)
}

// fitting checks the size, and decides whether the job goes to the scheduled set.
func fitting(job *wire.Job, queue string, payload []byte, at, began time.Time) (fileJob, error) {
	if n := int64(len(payload)); n > wire.DefaultMaxPayload {
		return fileJob{}, fmt.Errorf("the payload has %s, and %s are the most", prose.Bytes(n), prose.Bytes(wire.DefaultMaxPayload))
	}
	j := fileJob{Item: store.Item{JID: job.JID, Queue: queue, Kind: job.Kind, Payload: payload}, later: at.After(began)}
	if j.later {
		j.At = at
	}
	return j, nil
}

// shortFields are the names in a line that says no more than it must.
var shortFields = []string{"kind", "args", "queue", "in", "at", "retry", "jid", "tags"}

// shortLine makes the payload itself, by the rules of the library.
func shortLine(ctx context.Context, line []byte, began time.Time) (fileJob, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return fileJob{}, err
	}
	for name := range fields {
		if slices.Contains(shortFields, name) {
			continue
		}
		if near := nearest.To(name, shortFields); near != "" {
			return fileJob{}, fmt.Errorf("unknown field %q, did you mean %q?", name, near)
		}
		return fileJob{}, fmt.Errorf("unknown field %q; there are %s", name, strings.Join(shortFields, ", "))
	}
	var job ebb.Envelope
	var at time.Time
	var opts []ebb.Option
	for _, f := range []struct {
		name string
		into any
		want string
	}{
		{"kind", &job.Kind, "a string"}, {"queue", &job.Queue, "a string"}, {"jid", &job.JID, "a string"},
		{"tags", &job.Tags, "an array of strings"}, {"at", &at, "a time such as 2031-01-01T06:00:00Z"},
	} {
		if value, ok := fields[f.name]; ok && json.Unmarshal(value, f.into) != nil {
			return fileJob{}, fmt.Errorf("%q is not %s", f.name, f.want)
		}
	}
	job.Args = fields["args"]
	if value, ok := fields["retry"]; ok {
		retry, err := parseRetry(string(value))
		if err != nil {
			return fileJob{}, fmt.Errorf(`"retry": %w`, err)
		}
		opts = append(opts, retry)
	}
	var in time.Duration
	if value, ok := fields["in"]; ok {
		var text string
		err := json.Unmarshal(value, &text)
		if err == nil {
			in, err = time.ParseDuration(text)
		}
		if err != nil {
			return fileJob{}, errors.New(`"in" is not a span of time such as "10m"`)
		}
		opts = append(opts, ebb.In(in))
	}
	if !at.IsZero() {
		if in > 0 {
			return fileJob{}, errors.New(`"in" and "at" exclude each other`)
		}
		opts = append(opts, ebb.At(at))
	}
	item, later, err := built(ctx, job, opts)
	if err != nil {
		return fileJob{}, errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", "; "), "ebb: "))
	}
	if at.After(began) { // at the time of the first run, if no longer now
		item.At, later = at, true
	}
	return fileJob{item, later}, nil
}
