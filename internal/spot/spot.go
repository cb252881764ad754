// Package spot hears the notice that a cloud gives before it takes a machine back,
// from the metadata service that the machine can ask.
package spot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// often is how often a cloud is asked, as AWS recommends.
	often    = 5 * time.Second
	patience = 4 * time.Second
)

// What clouds leave between notice and end where they name no hour.
const (
	graceEC2   = 2 * time.Minute
	graceGCE   = 30 * time.Second
	graceAzure = 30 * time.Second
)

// cloud is one that gives notice.
type cloud struct {
	name string
	// ask returns the hour at which the machine goes, zero if it stays.
	ask func(context.Context, *Watcher) (time.Time, error)
}

var clouds = []cloud{{"ec2", ec2}, {"gce", gce}, {"azure", azure}}

// Watcher asks for the notice.
type Watcher struct {
	clouds  []cloud
	base    string // of all metadata services
	client  *http.Client
	log     *slog.Logger
	token   string // of EC2
	failure string // that was logged
}

// New makes the watcher of a cloud, or of whichever answers if it is "auto".
func New(name string, log *slog.Logger) (*Watcher, error) {
	w := &Watcher{
		base: "http://169.254.169.254", log: log,
		// No proxy is asked: the address is of this machine.
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience},
	}
	for _, c := range clouds {
		if name == c.name || name == "auto" {
			w.clouds = append(w.clouds, c)
		}
	}
	if len(w.clouds) == 0 {
		return nil, fmt.Errorf("spot: %q is no cloud that is known", name)
	}
	return w, nil
}

// Run asks until ctx ends, and calls notice with the hour at which the machine goes,
// again when the hour moves.
func (w *Watcher) Run(ctx context.Context, notice func(cloud string, hour time.Time)) {
	tick := time.NewTicker(often)
	defer tick.Stop()
	var told time.Time
	for {
		if c, hour := w.look(ctx); !hour.IsZero() && (told.IsZero() || hour.Before(told)) {
			told = hour
			notice(c, hour)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks the clouds. The first one that answers is the one that the machine is in.
func (w *Watcher) look(ctx context.Context) (name string, hour time.Time) {
	var errs []error
	for _, c := range w.clouds {
		hour, err := c.ask(ctx, w)
		if err == nil {
			if w.failure != "" {
				w.log.Info("the cloud can be asked whether it takes this machine back", "cloud", c.name)
			}
			w.clouds, w.failure = []cloud{c}, ""
			return c.name, hour
		}
		errs = append(errs, fmt.Errorf("spot: ask %s: %w", c.name, err))
	}
	if err := errors.Join(errs...); ctx.Err() == nil && err.Error() != w.failure {
		w.failure = err.Error()
		w.log.Warn("no cloud says whether it takes this machine back", "cause", err)
	}
	return "", time.Time{}
}

// errNone is an answer that there is nothing.
var errNone = errors.New("404 Not Found")

// get asks for a path, with headers in pairs.
func (w *Watcher) get(ctx context.Context, method, path string, headers ...string) (string, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.base+path, nil)
	if err != nil {
		return "", nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return "", nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	switch {
	case err != nil:
		return "", nil, err
	case answer.StatusCode == http.StatusNotFound:
		return "", nil, errNone
	case answer.StatusCode != http.StatusOK:
		return "", nil, errors.New(answer.Status)
	}
	return string(text), answer.Header, nil
}

// ec2 asks IMDSv2 (EC2 User Guide, Spot Instance interruption notices). Without a
// token, which only a PUT gets, a machine may refuse to answer.
func ec2(ctx context.Context, w *Watcher) (time.Time, error) {
	if w.token == "" {
		token, _, err := w.get(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")
		if err != nil {
			return time.Time{}, err
		}
		w.token = token
	}
	text, _, err := w.get(ctx, http.MethodGet, "/latest/meta-data/spot/instance-action", "X-aws-ec2-metadata-token", w.token)
	if errors.Is(err, errNone) {
		return time.Time{}, nil
	}
	if err != nil {
		w.token = "" // it may be over
		return time.Time{}, err
	}
	var action struct{ Time time.Time }
	if err := json.Unmarshal([]byte(text), &action); err != nil {
		return time.Time{}, fmt.Errorf("read notice: %w", err)
	}
	if action.Time.IsZero() {
		return time.Now().Add(graceEC2), nil
	}
	return action.Time, nil
}

// gce asks the metadata server, which names no hour (Compute Engine, Spot VMs).
func gce(ctx context.Context, w *Watcher) (time.Time, error) {
	text, header, err := w.get(ctx, http.MethodGet, "/computeMetadata/v1/instance/preempted", "Metadata-Flavor", "Google")
	if err != nil {
		return time.Time{}, err
	}
	if header.Get("Metadata-Flavor") != "Google" {
		return time.Time{}, errors.New("the answer is not Google's")
	}
	if !strings.EqualFold(strings.TrimSpace(text), "true") {
		return time.Time{}, nil
	}
	return time.Now().Add(graceGCE), nil
}

// azure asks for scheduled events (Azure Virtual Machines, Scheduled Events). They
// may be about other machines of a set, whose names differ from this one's.
func azure(ctx context.Context, w *Watcher) (time.Time, error) {
	name, _, err := w.get(ctx, http.MethodGet, "/metadata/instance/compute/name?api-version=2021-02-01&format=text", "Metadata", "true")
	if err != nil {
		return time.Time{}, err
	}
	text, _, err := w.get(ctx, http.MethodGet, "/metadata/scheduledevents?api-version=2020-07-01", "Metadata", "true")
	if err != nil {
		return time.Time{}, err
	}
	var all struct {
		Events []struct {
			EventType, NotBefore string
			Resources            []string
		}
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return time.Time{}, fmt.Errorf("read events: %w", err)
	}
	var first time.Time
	for _, e := range all.Events {
		if !slices.Contains([]string{"Preempt", "Terminate", "Reboot", "Redeploy"}, e.EventType) || !slices.Contains(e.Resources, strings.TrimSpace(name)) {
			continue
		}
		// An event that has begun names no hour.
		hour, err := time.Parse(time.RFC1123, cmp.Or(e.NotBefore, "begun"))
		if err != nil {
			hour = time.Now().Add(graceAzure)
		}
		if first.IsZero() || hour.Before(first) {
			first = hour
		}
	}
	return first, nil
}
