package doctor

import (
	"slices"
	"strings"
)

// shape is how a program is told what to start: which of its options take a value,
// and how many words come before the command.
type shape struct {
	options []string // that take the next word
	before  int      // words before the command
	assigns bool     // words such as A=1 before the command
	only    string   // it starts something only with this first word
	dashes  bool     // the command stands after --
}

// rest is the command.
func (s shape) rest(words []word) []word {
	if s.only != "" {
		words = words[1:]
	}
	if s.dashes {
		i := slices.IndexFunc(words, func(w word) bool { return w.value == "--" })
		return words[i+1:]
	}
	before := s.before
	for len(words) > 0 {
		switch w := words[0].value; {
		case w == "--":
			words = words[1:]
			return words[min(before, len(words)):]
		case strings.HasPrefix(w, "-") && len(w) > 1:
			if slices.Contains(s.options, w) && len(words) > 1 {
				words = words[1:]
			}
		case s.assigns && strings.Contains(w, "="):
		case before > 0:
			before--
		default:
			return words
		}
		words = words[1:]
	}
	return nil
}

// passing are programs that the command replaces, or that pass TERM on and wait: a
// signal reaches the command. (Measured as PID 1; gosu, su-exec and bundle exec as
// their documents say.)
var passing = map[string]shape{
	"env":     {options: []string{"-u", "-C", "--unset", "--chdir"}, assigns: true},
	"nice":    {options: []string{"-n"}},
	"ionice":  {options: []string{"-c", "-n"}},
	"chrt":    {before: 1},
	"setpriv": {options: []string{"--reuid", "--regid", "--groups"}},
	"chroot":  {before: 1},
	"stdbuf":  {options: []string{"-o", "-e", "-i"}},
	"setsid":  {},
	"timeout": {options: []string{"-k", "-s", "--signal", "--kill-after"}, before: 1},
	"gosu":    {before: 1},
	"su-exec": {before: 1},
	"bundle":  {only: "exec"},
	"exec":    {},
}

// holding are programs that stay between the platform and the command, and keep
// TERM from it or leave it too little time.
var holding = map[string]shape{
	"npm": {}, "yarn": {}, "pnpm": {}, "npx": {},
	"su":      {options: []string{"-s", "--shell"}, before: 1},
	"runuser": {options: []string{"-u", "-g", "-s"}},
	"xargs":   {options: []string{"-n", "-I", "-P", "-L", "-a", "-d"}},
	"time":    {},
	"script":  {},
	"flock":   {before: 1},
	"foreman": {}, "overmind": {}, "honcho": {}, "hivemind": {}, "goreman": {}, "concurrently": {}, "pm2": {}, "supervisord": {},
}

// managers run several processes, and kill them after a while of their own. (foreman
// kills after 5 s, supervisord after stopwaitsecs, 10 unless set.)
var managers = []string{"foreman", "overmind", "honcho", "hivemind", "goreman", "concurrently", "pm2", "supervisord"}

// inits are the programs that are made to be PID 1.
var inits = []string{"tini", "tini-static", "docker-init", "catatonit", "dumb-init", "ebb-init"}

// peelInit reads the options of an init.
func (l *layer) peelInit(w *workload, words []word) (rest []word, ok bool) {
	switch {
	case l.name == "ebb" && len(words) > 1 && words[1].value == "init":
		l.init.ours = true
		words = words[1:]
	case !slices.Contains(inits, l.name):
		return nil, false
	}
	l.init.ours = l.init.ours || l.name == "ebb-init"
	l.init.rewrites = map[string]string{}
	_, l.init.subreaper = w.env["TINI_SUBREAPER"]
	l.init.single = w.env["DUMB_INIT_SETSID"].value == "0"
	if w.image != nil {
		if _, set := w.image.env["TINI_SUBREAPER"]; set {
			l.init.subreaper = true
		}
		l.init.single = l.init.single || w.image.env["DUMB_INIT_SETSID"].value == "0"
	}
	valued := []string{"-p", "-e", "-r", "--rewrite", "--stop", "--grace", "--map", "--store", "--on", "--restart"}
	words = words[1:]
	for len(words) > 0 {
		option := words[0].value
		if !strings.HasPrefix(option, "-") {
			return words, true
		}
		value := ""
		if name, joined, found := strings.Cut(option, "="); found {
			option, value = name, joined
		} else if slices.Contains(valued, option) && len(words) > 1 {
			value = words[1].value
			words = words[1:]
		}
		words = words[1:]
		switch option {
		case "--":
			l.init.dashes = true
			return words, true
		case "-c", "--single-child":
			l.init.single = true
		case "-r", "--rewrite":
			from, to, _ := strings.Cut(value, ":")
			l.init.rewrites[signalName(from)] = signalName(to)
		default:
			if l.name != "dumb-init" && !strings.HasPrefix(option, "--") {
				l.init.subreaper = l.init.subreaper || strings.Contains(option, "s")
			}
		}
	}
	l.init.unfinished = true
	return nil, true
}
