// Package deploy_test examines the files that people copy: the doctor finds nothing in
// them, and their numbers agree.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/ebbjobs/ebb/doctor"
)

// files are all that somebody may copy, with Helm's chart as it is rendered for an ebb
// worker and for Sidekiq. Each counts as named, so that one which no reader of the
// doctor knows is a problem.
func files(t *testing.T) (sources []doctor.Source) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) == ".md" || path.Ext(name) == ".go" || strings.HasPrefix(name, "helm/") {
			return err
		}
		s, err := doctor.ReadSource(os.DirFS("."), name)
		s.Named = true
		if !doctor.Wanted(name) {
			t.Errorf("%s: the doctor passes it over in a folder", name)
		}
		sources = append(sources, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range []string{"ebb", "sidekiq"} {
		text, err := chart(t, release, nil)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, doctor.Source{Name: "helm/rendered-" + release + ".yaml", Text: text, Named: true})
	}
	return sources
}

// TestDoctorFindsNothing is ebb doctor deploy/, with the chart rendered.
func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	sources := files(t)
	report := doctor.Examine(sources)
	for _, p := range report.Problems {
		t.Errorf("%s:%d: %s", p.At.File, p.At.Line, p.Text)
	}
	for _, f := range report.Findings {
		t.Errorf("%s:%d: %s %s: %s", f.At.File, f.At.Line, f.Rule, f.Severity, f.Effect)
	}
	for _, s := range sources {
		if alone := doctor.Examine([]doctor.Source{s}); alone.Workloads == 0 && starts.MatchString(s.Name) {
			t.Errorf("%s: the doctor sees no worker in it", s.Name)
		}
	}
}

// starts are the files that start a worker by themselves.
var starts = regexp.MustCompile(`Dockerfile|compose|kubernetes|ecs-task\.json|\.service$|sidekiq\.nomad|ebb\.nomad|Procfile|service\.yml|^helm/`)

// margin is what a stop needs beyond the times that are set, as the doctor counts it.
const margin = 5

// told are the numbers that a file tells, in seconds. 0 is not told.
type told struct {
	grace, limit  int // the platform's, and the most that it grants
	ebb           int // EBB_GRACE
	hook, timeout int // of ebb drain, and of Sidekiq
	after         int // of a stop sequence, between TERM and KILL
}

func numbers(text string) (n told) {
	for to, expression := range map[*int]string{
		&n.grace:   `(?m)^[^#/]*\b(?:terminationGracePeriodSeconds: |stop_grace_period: |stopTimeout": |TimeoutStopSec=|kill_timeout = "|stop_grace: )(\d+)`,
		&n.limit:   `max_kill_timeout = "(\d+)`,
		&n.ebb:     `EBB_GRACE(?:"?, "?value"?)?"?\s*[:=]\s*"?(\d+)`,
		&n.hook:    `drain,? -t,? "?(\d+)`,
		&n.timeout: `sidekiq"?,? ?"?-t"?,? ?"?(\d+)`,
		&n.after:   `TERM;(\d+)s;KILL`,
	} {
		if m := regexp.MustCompile(expression).FindStringSubmatch(text); m != nil {
			*to, _ = strconv.Atoi(m[1]) // digits
		}
	}
	return n
}

// sum is a grace and what it is made of, in a comment or a guide.
var sum = regexp.MustCompile(`(\d+) = (\d+(?: \([a-z ]+\)| for [a-z ]+)?(?: \+ \d+(?: \([a-z ]+\)| to [a-z ]+)?)+)`)

// TestGraceAgrees: in each file the platform's grace is what ebb is told, the hook and
// the worker's own timeout fit into it, and the comments say so.
func TestGraceAgrees(t *testing.T) {
	t.Parallel()
	for _, s := range files(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			n := numbers(string(s.Text))
			if n.grace != n.ebb {
				t.Errorf("the platform grants %d s and EBB_GRACE is %d", n.grace, n.ebb)
			}
			if n.hook > 0 && n.hook+n.timeout+margin != n.grace {
				t.Errorf("hook %d + worker timeout %d + %d is not the grace, %d", n.hook, n.timeout, margin, n.grace)
			}
			if n.after > 0 && n.after != n.timeout+margin {
				t.Errorf("the sequence leaves %d s after TERM, and the worker needs %d + %d", n.after, n.timeout, margin)
			}
			sumsAgree(t, string(s.Text), n.grace)
			if commented := path.Ext(s.Name) != ".json" && !strings.HasPrefix(s.Name, "helm/"); commented && n.grace > 0 && !sum.Match(s.Text) {
				t.Error("no comment says what the grace is made of")
			}
		})
	}
}

// sumsAgree: whatever a text says a grace is made of comes to that grace, 0 for any.
func sumsAgree(t *testing.T, text string, grace int) {
	t.Helper()
	for _, m := range sum.FindAllStringSubmatch(text, -1) {
		total := 0
		for _, part := range regexp.MustCompile(`\d+`).FindAllString(m[2], -1) {
			value, _ := strconv.Atoi(part)
			total += value
		}
		if want, _ := strconv.Atoi(m[1]); total != want || grace > 0 && want != grace {
			t.Errorf("%q comes to %d, and the grace is %d", m[0], total, grace)
		}
	}
}

// TestNomadClientGrants: what the jobs ask for is not cut by the client.
func TestNomadClientGrants(t *testing.T) {
	t.Parallel()
	client, err := os.ReadFile("nomad-client.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ebb/ebb.nomad.hcl", "sidekiq/sidekiq.nomad.hcl"} {
		job, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if limit, grace := numbers(string(client)).limit, numbers(string(job)).grace; grace == 0 || limit < grace {
			t.Errorf("%s asks for %d s, and the client grants %d", name, grace, limit)
		}
	}
}

// TestChartFollowsGrace: one value is all there is to change.
func TestChartFollowsGrace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		release string
		grace   float64
		hook    int
	}{{"ebb", 600, 595}, {"sidekiq", 600, 570}, {"sidekiq", 31, 1}} {
		text, err := chart(t, c.release, map[string]any{"grace": c.grace})
		if err != nil {
			t.Fatal(err)
		}
		if n := numbers(string(text)); n.grace != int(c.grace) || n.ebb != n.grace || n.hook != c.hook {
			t.Errorf("%s with a grace of %v: %+v, want a hook of %d", c.release, c.grace, n, c.hook)
		}
		if report := doctor.Examine([]doctor.Source{{Name: "chart.yaml", Text: text}}); len(report.Findings)+len(report.Problems) > 0 {
			t.Errorf("%s with a grace of %v: %+v", c.release, c.grace, report)
		}
	}
	if _, err := chart(t, "sidekiq", map[string]any{"grace": 30.0}); err == nil || !strings.Contains(err.Error(), "nothing is left for the hook") {
		t.Errorf("a grace without time for a hook: %v", err)
	}
}

// chart renders Helm's templates without Helm: they use nothing but what is here, of
// which sub, quote, toJson and fail are Helm's, and as there numbers are float64.
func chart(t *testing.T, release string, set map[string]any) ([]byte, error) {
	t.Helper()
	values := map[string]any{}
	for _, name := range []string{"values.yaml", "values-" + release + ".yaml"} {
		text, err := os.ReadFile("helm/ebb/" + name)
		if errors.Is(err, fs.ErrNotExist) && release == "ebb" {
			continue // it is what the chart is for
		}
		var layer any
		if err := errors.Join(err, yaml.Unmarshal(text, &layer)); err != nil {
			t.Fatal(err)
		}
		text, err = json.Marshal(layer)
		if err := errors.Join(err, json.Unmarshal(text, &values)); err != nil {
			t.Fatal(err)
		}
	}
	maps.Copy(values, set)
	integer := func(v any) int64 {
		f, _ := v.(float64)
		i, _ := v.(int64)
		n, _ := v.(int)
		return int64(f) + i + int64(n)
	}
	templates, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
		"sub":   func(a, b any) int64 { return integer(a) - integer(b) },
		"quote": func(v any) string { return strconv.Quote(fmt.Sprint(v)) },
		"toJson": func(v any) (string, error) {
			text, err := json.Marshal(v)
			return string(text), err
		},
		"fail": func(why string) (string, error) { return "", errors.New(why) },
	}).ParseGlob("helm/ebb/templates/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	data := map[string]any{"Values": values, "Release": map[string]any{"Name": release}}
	for _, name := range []string{"deployment.yaml", "pdb.yaml"} {
		if err := templates.ExecuteTemplate(&out, name, data); err != nil {
			return nil, err
		}
		out.WriteString("---\n")
	}
	return out.Bytes(), nil
}
