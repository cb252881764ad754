package doctor

import (
	"fmt"
	"time"
)

// facts is everything that the readers found, and what join made of it.
type facts struct {
	workloads []*workload
	images    []*image
	scripts   []*script
	services  []composeService
	units     []unitFile
	settings  []*settings
	problems  []Problem

	lockfiles      []lockfile
	recipes        []recipe
	spawners       []text // programs that jobs start, and where that is said
	ecsServices    []*ecsService
	taskProtection bool          // something may hold ECS's scale-in protection
	maxKill        time.Duration // what Nomad clients grant; 0: not told
	autoscaler     time.Duration // the longest grace that the cluster autoscaler allows; 0: not told
	budgets        []budget      // PodDisruptionBudgets
}

func (f *facts) problem(at Place, format string, args ...any) {
	f.problems = append(f.problems, Problem{at, fmt.Sprintf(format, args...)})
}

// text is a value as it was written, and where. The zero text was not written.
type text struct {
	value string
	at    Place
}

// span is a length of time and where it was said, or would have been: a default has
// a place and was not said. The zero span is not known.
type span struct {
	value   time.Duration
	at      Place
	written string // as the file has it; "" for a default
}

func (s span) known() bool { return s.at.known() }

func (s span) said() bool { return s.written != "" }

// platformName is who starts and stops a workload.
type platformName string

const (
	plainImage platformName = "Dockerfile"
	compose    platformName = "Compose"
	kubernetes platformName = "Kubernetes"
	ecs        platformName = "ECS"
	systemd    platformName = "systemd"
	procfile   platformName = "Procfile"
	nomad      platformName = "Nomad"
	fly        platformName = "Fly"
	cloudRun   platformName = "Cloud Run"
	cloud66    platformName = "Cloud 66"
)

// sidekiqTERM is Sidekiq's own timeout unless told otherwise.
const sidekiqTERM = 25 * time.Second

// lockfile is a Gemfile.lock.
type lockfile struct {
	dir     string
	sidekiq int // the major version; 0: none
}

// word is one argument of a command.
type word = text

// command is what an image, a manifest or a unit starts.
type command struct {
	at    Place
	words []word
	// shellForm says that the words are a shell, -c and a text because the format put
	// the shell there. Nobody wrote it.
	shellForm bool
	// raw is the text as it stands in the file, where the format reads it in a way
	// that its author may not have meant.
	raw string
}

// image is what a Dockerfile, or one stage of it, builds.
type image struct {
	at         Place
	dir        string // the folder of the Dockerfile, the usual context
	stage      string // its name; "" for one without
	last       bool   // it is what a build without a target makes
	base       text   // where its first stage comes from
	entrypoint *command
	cmd        *command
	shell      []string // SHELL; nil is the default
	stopSignal text
	env        map[string]text
	health     *probe
	runs       []text            // RUN instructions
	copies     map[string]string // base name in the image to path in the context
	used       bool              // by another workload, which is then what counts
	built      bool              // it is known from its configuration, and not from a Dockerfile
}

// script is a shell script among the sources.
type script struct {
	name string
	dir  string
	path shellPath
}

// recipe is a shell's text in a Makefile or a pipeline.
type recipe struct {
	at    Place // of its first line
	path  shellPath
	limit span // when the pipeline ends it; zero: not told
}

// calls visits what all scripts and recipes call.
func (f *facts) calls(visit func(at Place, words []string)) {
	for _, s := range f.scripts {
		for _, c := range s.path.calls {
			visit(Place{s.name, c.line}, c.words)
		}
	}
	for _, r := range f.recipes {
		for _, c := range r.path.calls {
			visit(Place{r.at.File, r.at.Line + c.line - 1}, c.words)
		}
	}
}

// settings is a worker's own file, such as sidekiq.yml.
type settings struct {
	name, dir string
	kind      workerKind
	timeout   span // how long TERM lets jobs run on
	commands  span // the longest that a job may take, where it is limited
}

// workload is something that runs and is stopped.
type workload struct {
	name     string
	platform platformName
	at       Place

	imageName   text   // as the manifest names it
	build       *build // as Compose names it
	image       *image // nil: not among the sources
	entry, args *command
	init        Place // where the platform is told to put an init in front; zero: it is not
	stopSignal  text
	sequence    text // a stop sequence in the platform's own words
	restart     text // that it is started again when it ends by itself, however it ended
	container   text // what Docker calls it, where that is said
	grace       span
	hook        *hook
	probes      []probe
	env         map[string]text
	sharesPIDs  Place // where it is said that PID 1 is somebody else

	pod    *pod   // of Kubernetes
	unit   *unit  // of systemd
	task   *task  // of ECS
	driver string // of Nomad
	// everyone says that the signal goes to all processes, not to the first alone.
	everyone bool
	memory   int64 // the container's limit in bytes; 0: none

	// By join:
	chain   []layer
	worker  workerKind
	timeout span   // the worker's own: TERM until it gives its jobs back
	others  []span // further values for the same, which disagree
}

// build is a Compose service's build section.
type build struct {
	dir, file, target string
}

// hook is what the platform runs before the signal.
type hook struct {
	at    Place
	words []word        // of exec
	sleep time.Duration // of the sleep handler
	http  bool
	text  text      // all words in one, for reading
	path  shellPath // of a shell's text
	shell bool      // the words begin with a shell and -c
}

// probe is a health check.
type probe struct {
	at      Place
	kind    string // liveness, startup, readiness, HEALTHCHECK
	words   []word
	path    text // of an HTTP probe
	period  time.Duration
	timeout time.Duration
	grace   span // its own terminationGracePeriodSeconds
}

// pod is what Kubernetes knows of the workload beyond its container.
type pod struct {
	kind        string // Deployment, StatefulSet, …
	name        string
	at          Place
	labels      map[string]string
	annotations map[string]text
	selectors   []text // node selectors and tolerations, "key=value"
	others      []*workload
	replicas    int
	strategy    text // Recreate, or maxSurge 0
	progress    span // progressDeadlineSeconds
}

// budget is a PodDisruptionBudget.
type budget struct {
	at           Place
	selector     map[string]string
	minAvailable text
}
