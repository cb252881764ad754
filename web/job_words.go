package web

import (
	"fmt"
	"net/url"

	"github.com/ebbjobs/ebb/internal/life"
	"github.com/ebbjobs/ebb/internal/prose"
	"github.com/ebbjobs/ebb/wire"
)

// What the template of a job's page asks for.

// JobPath is the address of what can be done to a job.
func (r *request) JobPath(j *life.Job, verb string) string {
	return r.Path("/jobs/" + url.PathEscape(j.JID) + "/" + verb)
}

// JobSeen is the same of a job as a page has shown it.
func (r *request) JobSeen(j *life.Job, verb string, v *jobView) string {
	return r.Path("/jobs/"+url.PathEscape(j.JID)+"/"+verb, "version", v.Version, "near", v.Near)
}

// Below is the page of something with a name.
func (r *request) Below(path string, name any) string {
	return r.Path(path + "/" + url.PathEscape(fmt.Sprint(name)))
}

// JobLink is the address of one of several jobs with the same jid.
func (r *request) JobLink(j *life.Job) string { return r.jobLink(j.JID, j.Entry) }

// Cut shortens what a job says in words.
func (r *request) Cut(text string) string { return cut(text, shownError) }

// TryOf is how often a job has failed.
func (r *request) TryOf(job *wire.Job) string { return tryOf(job) }

// Size is how long a job's arguments are.
func (r *request) Size(job *wire.Job) string { return prose.Bytes(int64(len(job.Args))) }

// stepView is what the template of a line of a job's life gets.
type stepView struct {
	*request
	Step step
}

// StepOf is a line with who asks for it.
func (r *request) StepOf(s step) stepView { return stepView{r, s} }

// Sign is the shape of what happened.
func (s stepView) Sign() string {
	name := s.Step.What
	if alias, ok := eventSigns[name]; ok {
		name = alias
	}
	if l, ok := signs[name]; ok {
		return l.sign
	}
	return "○"
}

// eventSigns are the states that events look like.
var eventSigns = map[string]string{
	"started": "running", "resumed": "running", "interrupted": "draining", "failed again": "failed", "snoozed": "scheduled",
	"buried by hand": "dead", "buried": "dead", "deleted": "gone", "yielded": "handed back", "retried by hand": "retry",
	"edited and retried": "retry", "rescheduled by hand": "scheduled", "undone": "handed back",
}

// Listed is the address of a list of jobs, or of what is made of one.
func (r *request) Listed(path, address, after string) string {
	values, err := url.ParseQuery(address)
	if err != nil {
		return r.Path(path)
	}
	if after != "" {
		values.Set("after", after)
	}
	if len(values) == 0 {
		return r.Path(path)
	}
	return r.Path(path) + "?" + values.Encode()
}
