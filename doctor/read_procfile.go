package doctor

import (
	"path"
	"regexp"
	"strings"
	"time"
)

// herokuGrace is fixed. (Heroku Dev Center, Dyno shutdown behavior.)
const herokuGrace = 30 * time.Second

func isProcfile(s Source) bool {
	base := path.Base(s.Name)
	return base == "Procfile" // Procfile.dev starts what nobody deploys
}

var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.+)$`)

// readProcfile reads lines of a name and a command, which is a shell's text.
func (f *facts) readProcfile(s Source) {
	number := 0
	for line := range strings.Lines(string(s.Text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := Place{s.Name, number}
		m := procfileLine.FindStringSubmatch(line)
		if m == nil {
			f.problem(at, "this is not a Procfile: want a name, a colon and a command")
			continue
		}
		f.workloads = append(f.workloads, &workload{
			name: m[1], platform: procfile, at: at, everyone: true, env: map[string]text{}, grace: span{value: herokuGrace, at: at},
			entry: &command{at: at, shellForm: true, words: []word{{"bash", at}, {"-c", at}, {m[2], at}}},
		})
	}
}
