package deploy_test

import (
	"flag"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbjobs/ebb/lifecycle"
	"github.com/ebbjobs/ebb/stopseq"
)

var update = flag.Bool("update", false, "draw docs/guides/*.svg anew")

// drawing is how a platform's stop is drawn: from the numbers in the files for it.
type drawing struct {
	name, title  string
	ebb, sidekiq string // files
	begin, end   string // what an ebb worker gets first, and when its jobs must end
	note         string
}

var drawings = []drawing{
	{"kubernetes", "Kubernetes", "ebb/kubernetes.yaml", "sidekiq/kubernetes.yaml", "preStop: quiet", "TERM", "terminationGracePeriodSeconds: one clock, which begins with the hook"},
	{"ecs", "ECS", "ebb/ecs-task.json", "sidekiq/ecs-task.json", "TERM", "contexts end", "stopTimeout, 120 s at most on Fargate. Scale-in protection keeps the stop from beginning"},
	{"docker", "Docker", "ebb/compose.yaml", "sidekiq/compose.yaml", "TERM", "contexts end", "stop_grace_period, or docker stop -t; 10 s if nobody says so"},
	{"systemd", "systemd", "ebb/ebb.service", "sidekiq/sidekiq.service", "TERM", "contexts end", "TimeoutStopSec"},
	{"nomad", "Nomad", "ebb/ebb.nomad.hcl", "sidekiq/sidekiq.nomad.hcl", "TERM", "contexts end", "kill_timeout, if the client's max_kill_timeout is no less"},
}

// TestDrawings: the guides' drawings show what the files say; -update draws them.
func TestDrawings(t *testing.T) {
	t.Parallel()
	for _, d := range drawings {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("..", "docs", "guides", d.name+".svg")
			want := d.svg(t)
			if *update {
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := read(t, file); got != want {
				t.Errorf("%s is not what the files say: run go test ./deploy -run TestDrawings -update", file)
			}
		})
	}
}

var hours = regexp.MustCompile(`(?m)^\| (?:(\d+) s )?\| (?:(\d+) s )?\|`)

// TestGuidesTellTheSameHours: the tables of the guides have no hour that is not drawn,
// but for the one at which Sidekiq gives its jobs back.
func TestGuidesTellTheSameHours(t *testing.T) {
	t.Parallel()
	for _, d := range drawings {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			guide := read(t, filepath.Join("..", "docs", "guides", d.name+".md"))
			rows, grace := d.rows(t)
			sumsAgree(t, guide, grace)
			rows[1].marks = append(rows[1].marks, mark{rows[1].marks[1].at + numbers(read(t, d.sidekiq)).timeout, "given back"})
			for i, r := range rows {
				told := map[string]bool{fmt.Sprint(grace): true}
				for _, m := range r.marks {
					told[fmt.Sprint(m.at)] = false
				}
				for _, m := range hours.FindAllStringSubmatch(guide, -1) {
					if _, drawn := told[m[i+1]]; m[i+1] != "" && !drawn {
						t.Errorf("%s: at %s s nothing happens", r.name, m[i+1])
					}
					told[m[i+1]] = true
				}
				for hour, is := range told {
					if !is {
						t.Errorf("%s: the guide does not tell of %s s", r.name, hour)
					}
				}
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// row is one worker's stop. Seconds count from its beginning.
type row struct {
	name  string
	bars  []bar
	marks []mark
}

type bar struct {
	from, to int
	class    string
	text     string
}

type mark struct {
	at   int
	text string
}

// rows are the stops of an ebb worker and of Sidekiq, and the grace of both.
func (d drawing) rows(t *testing.T) (rows []row, grace int) {
	n := numbers(read(t, d.ebb))
	grace = n.grace
	contexts := grace - int(lifecycle.Reserve(time.Duration(grace)*time.Second).Seconds())
	ebb := row{"ebb", []bar{{0, contexts, "on", "jobs go on"}, {contexts, grace, "back", "save, give back"}}, []mark{{0, d.begin}, {contexts, d.end}}}

	text := read(t, d.sidekiq)
	n = numbers(text)
	if n.grace != grace {
		t.Errorf("%s has a grace of %d, and %s of %d", d.sidekiq, n.grace, d.ebb, grace)
	}
	sidekiq := row{name: "Sidekiq"}
	if n.hook > 0 {
		sidekiq.bars = []bar{{0, n.hook, "on", "jobs go on"}, {n.hook, n.hook + n.timeout, "back", "Sidekiq’s -t"}, {n.hook + n.timeout, grace, "rest", ""}}
		sidekiq.marks = []mark{{0, "preStop: TSTP"}, {n.hook, "TERM"}}
		return []row{ebb, sidekiq}, grace
	}
	sequence, err := stopseq.Parse(regexp.MustCompile(`TSTP;[^"]*`).FindString(text))
	if err != nil {
		t.Fatalf("%s: %v", d.sidekiq, err)
	}
	end := 0
	for _, h := range sequence.Plan(time.Duration(grace) * time.Second) {
		from, to := int(h.From.Seconds()), int(h.To.Seconds())
		switch h.Step.Kind {
		case stopseq.Signal:
			sidekiq.marks = append(sidekiq.marks, mark{from, stopseq.SignalName(h.Step.Signal)})
		case stopseq.Idle:
			sidekiq.bars = append(sidekiq.bars, bar{from, to, "on", "jobs go on, until idle"})
		case stopseq.Wait:
			sidekiq.bars = append(sidekiq.bars, bar{from, to, "back", fmt.Sprintf("-t %d, and %d", n.timeout, to-from-n.timeout)})
		}
		end = to
	}
	sidekiq.bars = append(sidekiq.bars, bar{end, grace, "rest", ""})
	return []row{ebb, sidekiq}, grace
}

const (
	left, right = 126, 800
	narrow      = 84 // of all but the first span, which gets the rest
	style       = `<style>
    .card{fill:#fff;stroke:#e5e7eb} .on{fill:#dbeafe} .back{fill:#fef9c3} .rest{fill:#fee2e2}
    text{fill:#0f172a} .dim{fill:#475569} .line{stroke:#475569;fill:none} .kill{fill:#b91c1c} .end{stroke:#b91c1c;stroke-width:2.5}
    @media (prefers-color-scheme:dark){
      .card{fill:#0d1117;stroke:#30363d} .on{fill:#1c3557} .back{fill:#4a3f12} .rest{fill:#5a2323}
      text{fill:#e6edf3} .dim{fill:#9da7b3} .line{stroke:#9da7b3} .kill{fill:#ff7b72} .end{stroke:#ff7b72}
    }
  </style>`
)

func (d drawing) svg(t *testing.T) string {
	rows, grace := d.rows(t)
	var points []int
	for _, r := range rows {
		for _, b := range r.bars {
			points = append(points, b.from, b.to)
		}
	}
	slices.Sort(points)
	points = slices.Compact(points)
	x := func(at int) int {
		i := slices.Index(points, at)
		if i == 0 {
			return left
		}
		return right - narrow*(len(points)-1-i)
	}

	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	text := func(x, y int, attributes, text string) {
		line(`  <text x="%d" y="%d"%s>%s</text>`, x, y, attributes, html.EscapeString(text))
	}
	line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 274" font-family="system-ui, sans-serif" font-size="14" role="img" aria-labelledby="title">`)
	line(`  <title id="title">%s: a stop of %d seconds on a time line; its end is drawn wider</title>`, d.title, grace)
	line("  %s", style)
	line(`  <rect class="card" x="0.5" y="0.5" width="859" height="273" rx="12"/>`)
	for i, r := range rows {
		y := 50 + 80*i
		text(left-16, y+22, ` text-anchor="end" font-weight="600"`, r.name)
		for _, bar := range r.bars {
			line(`  <rect class="%s" x="%d" y="%d" width="%d" height="34"/>`, bar.class, x(bar.from), y, x(bar.to)-x(bar.from))
			text((x(bar.from)+x(bar.to))/2, y+22, ` text-anchor="middle"`, strings.TrimSuffix(fmt.Sprintf("%d s: %s", bar.to-bar.from, bar.text), ": "))
		}
		for _, m := range r.marks {
			line(`  <path class="line" stroke-width="1.5" d="M%d %dv44"/>`, x(m.at), y-6)
			text(x(m.at), y-13, ` font-weight="600"`, m.text)
		}
	}
	line(`  <path class="line" stroke-width="1.5" d="M%d 176H%d"/>`, left, right+28)
	line(`  <path class="end" d="M%d 34v150"/>`, right)
	text(right, 26, ` class="kill" font-weight="600" text-anchor="middle"`, "KILL")
	for _, p := range points {
		seconds := fmt.Sprint(p)
		if p == grace {
			seconds += " s"
		}
		text(x(p), 201, ` class="dim" font-size="13" text-anchor="middle"`, seconds)
	}
	line(`  <path class="line" d="M%d 214v8h%dv-8"/>`, left, right-left)
	text((left+right)/2, 244, ` text-anchor="middle"`, d.note)
	line("</svg>")
	return b.String()
}
