package doctor

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// workerKind is what runs the jobs.
type workerKind string

const (
	unknownWorker workerKind = ""
	sidekiqWorker workerKind = "Sidekiq"
	ebbWorker     workerKind = "ebb"
	otherWorker   workerKind = "worker" // one that is known by its name or habits alone
	noWorker      workerKind = "other"  // a web server, a database: no jobs are lost with it
)

func baseName(s string) string { return path.Base(s) }

// kindOf recognises a worker, or what is surely none, by the words that start it.
func kindOf(words []string) workerKind {
	for i, w := range words {
		next := func(want ...string) bool { return i+1 < len(words) && slices.Contains(want, words[i+1]) }
		switch name := baseName(w); name {
		case "sidekiq", "sidekiqswarm":
			return sidekiqWorker
		case "ebb":
			if next("work") {
				return ebbWorker
			}
		case "celery":
			if slices.Contains(words[i:], "worker") {
				return otherWorker
			}
		case "rake", "rails":
			if next("jobs:work", "resque:work", "resque:workers", "solid_queue:start", "good_job:start") {
				return otherWorker
			}
			if next("server", "s") {
				return noWorker
			}
		case "good_job", "shoryuken", "que", "delayed_job", "faktory-worker", "solid_queue", "jobs", "dramatiq":
			return otherWorker
		case "rq", "resque":
			if next("worker", "work") {
				return otherWorker
			}
		case "puma", "unicorn", "passenger", "nginx", "httpd", "apache2", "gunicorn", "uvicorn", "caddy", "haproxy", "envoy", "postgres", "mysqld", "redis-server", "valkey-server", "rackup":
			return noWorker
		}
	}
	return unknownWorker
}

// kindByName is a last resort: what a workload is called.
func kindByName(name string) workerKind {
	name = strings.ToLower(name)
	for _, hint := range []string{"worker", "sidekiq", "jobs", "resque", "celery"} {
		if strings.Contains(name, hint) {
			return otherWorker
		}
	}
	for _, hint := range []string{"web", "nginx", "redis", "postgres", "mysql", "proxy", "frontend"} {
		if strings.Contains(name, hint) {
			return noWorker
		}
	}
	return unknownWorker
}

// commandTimeout is the timeout that a worker is given on its command line.
func commandTimeout(kind workerKind, words []word) span {
	for i, w := range words {
		switch name, value, joined := strings.Cut(w.value, "="); {
		case kind == sidekiqWorker && (name == "-t" || name == "--timeout"),
			kind == ebbWorker && (name == "-t" || name == "--timeout" || name == "--grace"):
			if !joined && i+1 < len(words) {
				value = words[i+1].value
			}
			if d, ok := seconds(value); ok {
				return span{d, w.at, value}
			}
		}
	}
	return span{}
}

// seconds reads a length of time: a number of seconds, or one with units.
func seconds(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e9 {
		return time.Duration(n * float64(time.Second)), true
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, true
	}
	return 0, false
}
