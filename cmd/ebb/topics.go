package main

import (
	"fmt"
	"strings"

	"github.com/ebbjobs/ebb/internal/config"
)

// topic is a page of help that belongs to no command.
type topic struct {
	name, short string
	text        func() string
}

var topics = []topic{
	{"stores", "Where jobs are kept, and how a store is named", fixed(`A store is named by a URL: --store, else EBB_STORE, else "store" in ebb.yml, else the
variable that REDIS_PROVIDER names, else REDIS_URL, else sqlite:ebb.db, a file in the
working folder. ebb config says which it was.

  sqlite:ebb.db                     a file, made when it is missing; for all processes
                                    of one machine, on a local disk
  sqlite:/var/lib/shop/jobs.db      the same, by its whole path
  redis://:secret@cache:6379/0      Redis from 6.2 on, or Valkey, shared with Ruby Sidekiq
  rediss://user:secret@cache:6380   with TLS
  redis-sentinel://host1:26379,host2:26379/mymaster/0
                                    whichever server is that master
  unix:///run/redis.sock?db=0       by its socket

Passwords are never printed. What each store promises and needs, and what else can
stand in a URL, is told in the documents: reference/sqlite.md, reference/redis.md.`)},
	{"signals", "What a signal does to a process that runs jobs", fixed(`What ebb work, and any Go program that runs jobs by ebb, does on a signal:

  TERM, INT  stop: fetch nothing new, tell the jobs when the kill will come, end their
             contexts shortly before, give back what has not ended. A second INT on a
             terminal ends at once
  TSTP       quiet: fetch nothing new, run what there is, stay
  TTIN       print all goroutines and the running jobs to standard error
  CONT       nothing
  KILL       cannot be heard: the jobs are rescued by another process, seconds later

How long a stop may take is set by --grace or EBB_GRACE, less than what the platform
leaves between TERM and KILL. Over the control socket: ebb processes quiet, resume,
stop and dump. All other commands stop at INT and TERM where it is safe, and say how
far they came.`)},
	{"exit-codes", "What the commands' exit codes mean", exitCodes},
	{"queries", "How jobs are named by what they are", fixed(queryHelp)},
	{"output", "Tables, JSON and what scripts can rely on", fixed(`Standard output is the answer, standard error everything else.

On a terminal an answer is a table for people: aligned, in colour, with times such as
"2 min ago". Piped it is the same columns between tabs, without a head, in UTC and
without rounding. Further forms, where the command has them:

  -o json      one JSON document: an object, or an array of rows
  -o jsonl     one object a line, as they come
  -o name      ids only, for xargs
  -o wide      more columns
  --fields a,b these columns, in this order

The names in JSON are a promise: they stay, and new ones may come. ebb schema prints
the schema of each command. Times are RFC 3339 in UTC, spans of time float seconds
whose name ends in _seconds.

NO_COLOR, CLICOLOR_FORCE, TERM=dumb and COLUMNS are followed; where the locale is not
UTF-8, ASCII is drawn.`)},
	{"sharing-with-ruby", "One Redis for Go and Ruby Sidekiq", fixed(`A Redis that Sidekiq 6, 7 or 8 uses is a store of ebb as it is: the same keys, the
same payloads. Each side enqueues for the other, and both see all jobs and processes.
Name it by REDIS_URL or REDIS_PROVIDER, as Ruby does, or by --store. Both must name one
database; a namespace is not supported.

  A kind is Ruby's class, and the arguments are those of perform. ebb vet prints the
  Ruby call for each kind that a Go program defines.

  Give a class that moves to Go a queue of its own, which no Ruby process runs. Its
  jobs in flight end where they began, failures included, and one line takes it back.

  Where both fetch from a queue, a job whose kind has no handler here is put aside for
  at most five seconds, unchanged and unbilled, for others; jobs of a Pro batch are,
  too. Ruby fails those whose class it does not know.

  Jobs that Ruby runs are in Ruby's memory. ebb init and ebb drain end each deploy
  without cutting one, ebb guard puts back what a killed process was last seen
  running, and the gem in integrations/ruby keeps what it fetches in Redis.

ebb work understands Sidekiq's -c -q -t -C -e -g -v and config/sidekiq.yml, so that a
line of a Procfile carries over. ebb import makes an ebb.yml of them.

The documents tell more: guides/share-redis.md, move-a-class.md, protect-sidekiq.md.`)},
	{"ebb.yml", "The keys of the settings file", configKeys},
}

const queryHelp = `A query names jobs by what they are. It is terms with spaces between them, of which
all must hold:

  kind:InvoiceJob   its kind, or the class inside Active Job's wrapper
  queue:mailers     where it waits or will run next
  state:retry,dead  ready, scheduled, retry, running or dead
  error:CardError   in the class or message of its last failure
  group:k3f9x0      failures that are alike, by the ID that ebb top and the UI link to
  jid:2d2a34bb68    its jid, or the end of one
  tag:eu            one of its tags
  args.0=42         an argument, and what is inside it: args.0.user=7
  try>3             how many tries have failed; also < <= >= =
  after:-2h         touched since then; a time, a day, an hour of today, or -90m -2h -1d
  before:14:00      not touched since then
  interrupted:yes   it was cut off at least once
  version:v142      the release that cut it off or lost it
  "order 777"       this text, anywhere in what is seen of it

Values may be alternatives (kind:A,B), a * at an end stands for anything (kind:Mail*),
quotes make their content mean itself, and a minus turns a term round (-queue:low).
Quote the whole for your shell:

  ebb jobs ls 'kind:InvoiceJob error:CardError after:-2h'`

func fixed(text string) func() string { return func() string { return text } }

func exitCodes() string {
	var b strings.Builder
	for _, e := range exitMeanings {
		fmt.Fprintf(&b, "  %3d  %s\n", e.Code, e.Meaning)
	}
	return "All commands end with one of these:\n\n" + b.String() + `
A viewer that is ended by ^C, such as --watch, ends with 0.`
}

func configKeys() string {
	var b strings.Builder
	for k := range config.Keys() {
		fmt.Fprintf(&b, "  %s\n      %s\n", k.Name, k.Meaning)
		if k.Default != "" {
			fmt.Fprintf(&b, "      default: %s\n", k.Default)
		}
		if k.Env != "" {
			fmt.Fprintf(&b, "      variable: %s\n", k.Env)
		}
	}
	return `The settings file is ebb.yml in the working folder, or what --config or EBB_CONFIG
names. A flag is stronger than a variable, a variable than the file, the file than
what the platform says, that than a default. ebb config prints each value with its
source. The keys, with a dot for each level:

` + strings.TrimSuffix(b.String(), "\n")
}
