package doctor

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mendable are the bad fixtures of which Mend takes all findings away. It has to be
// certain, so that the others stay as they are.
var mendable = strings.Fields(`
	D01/bad D01/bad-alpine D01/bad-stages D02/bad D04/bad D04/bad-branch D04/bad-plain D12/bad-compose D12/bad-script
	D17/bad D18/bad D18/bad-compose D18/bad-fly D19/bad D20/bad D20/bad-sequence
	D22/bad-ebb D22/bad-file D23/bad D24/bad D25/bad D38/bad-below D43/bad D43/bad-drain D45/bad D45/bad-mixed D48/bad
`)

func TestMendFixtures(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob("testdata/D*/*")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, folder := range folders {
		sources, _ := Collect(os.DirFS(folder), "")
		mended, left := Mend(sources)
		for _, p := range left.Problems {
			t.Errorf("%s: %+v", folder, p)
		}
		if diff := cmp.Diff(Examine(mended), left); diff != "" {
			t.Errorf("%s: what is left is not what is found (-found +left):\n%s", folder, diff)
		}
		before := Examine(sources)
		changed := !slices.EqualFunc(sources, mended, func(a, b Source) bool { return bytes.Equal(a.Text, b.Text) })
		switch {
		case changed != (len(left.Findings) < len(before.Findings)):
			t.Errorf("%s: changed is %v; %d findings, and then %d", folder, changed, len(before.Findings), len(left.Findings))
		case changed && len(left.Findings) > 0:
			t.Errorf("%s: %+v is left", folder, left.Findings)
		case changed:
			name, _ := filepath.Rel("testdata", folder)
			got = append(got, filepath.ToSlash(name))
		}
	}
	if diff := cmp.Diff(mendable, got); diff != "" {
		t.Errorf("folders that are mended (-want +got):\n%s", diff)
	}
}

func TestMend(t *testing.T) {
	t.Parallel()
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: worker}\nspec:\n"
	cases := []struct {
		name       string
		file       string
		text, want string // want "": nothing changes
	}{
		{"ends of lines survive", "Dockerfile", "FROM ruby\r\nSTOPSIGNAL KILL\r\nCMD bundle exec sidekiq\r\n", "FROM ruby\r\nSTOPSIGNAL SIGTERM\r\nCMD [\"bundle\", \"exec\", \"sidekiq\"]\r\n"},
		{"the last line has no end", "Dockerfile", "FROM ruby\nCMD bundle exec sidekiq", "FROM ruby\nCMD [\"bundle\", \"exec\", \"sidekiq\"]"},
		{"case and space of the rest", "Dockerfile", "from ruby # x\n\n  cmd   bundle exec sidekiq  \n# end", "from ruby # x\n\n  cmd   [\"bundle\", \"exec\", \"sidekiq\"]  \n# end"},
		{"variables of a shell", "Dockerfile", "FROM ruby\nCMD bundle exec sidekiq -c $N", "FROM ruby\nCMD [\"sh\", \"-c\", \"exec bundle exec sidekiq -c $N\"]"},
		{"a variable for the program", "Dockerfile", "FROM ruby\nCMD RAILS_ENV=production bundle exec sidekiq", "FROM ruby\nCMD [\"sh\", \"-c\", \"RAILS_ENV=production exec bundle exec sidekiq\"]"},
		{"names that a shell fills in", "Dockerfile", "FROM ruby\nCMD bundle exec sidekiq -r ./config/*.rb", "FROM ruby\nCMD [\"sh\", \"-c\", \"exec bundle exec sidekiq -r ./config/*.rb\"]"},
		{"a CMD that would become arguments", "Dockerfile", "FROM ruby\nENTRYPOINT bundle exec sidekiq\nCMD [\"-v\"]", "FROM ruby\nENTRYPOINT [\"sh\", \"-c\", \"exec bundle exec sidekiq\"]\nCMD [\"-v\"]"},
		{"another shell", "Dockerfile", "FROM ruby\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nCMD bundle exec sidekiq", ""},
		{"something comes after", "Dockerfile", "FROM ruby\nCMD bundle exec sidekiq; rm -f pid", ""},
		{"the shell has to clean up", "Dockerfile", "FROM ruby\nCMD trap 'rm -f pid' EXIT; bundle exec sidekiq", ""},
		{"on several lines", "Dockerfile", "FROM ruby\nCMD bundle exec \\\n  sidekiq", ""},
		{"the same number twice", "pod.yaml", pod + "  terminationGracePeriodSeconds: 20 # 20 was enough\n  containers:\n    - {name: worker, image: w, args: [sidekiq]}\n", ""},
		{"a part of a word", "pod.yaml", pod + "  terminationGracePeriodSeconds: 20 # not 120\n  containers:\n    - {name: worker, image: w, args: [sidekiq]}\n",
			pod + "  terminationGracePeriodSeconds: 30 # not 120\n  containers:\n    - {name: worker, image: w, args: [sidekiq]}\n"},
		{"two that want more, the one more than the other", "pod.yaml", pod + "  terminationGracePeriodSeconds: 20\n  containers:\n    - {name: a, image: w, args: [sidekiq]}\n    - {name: b, image: w, args: [sidekiq, -t, '50']}\n",
			pod + "  terminationGracePeriodSeconds: 55\n  containers:\n    - {name: a, image: w, args: [sidekiq]}\n    - {name: b, image: w, args: [sidekiq, -t, '50']}\n"},
		{"a block of lines", "pod.yaml", pod + "  containers:\n    - name: worker\n      image: w\n      command: [sh, -c]\n      args:\n        - |\n          cd app\n          sidekiq -t 20\n",
			pod + "  containers:\n    - name: worker\n      image: w\n      command: [sh, -c]\n      args:\n        - |\n          cd app\n          exec sidekiq -t 20\n"},
		{"what would be too long for the platform", "worker.nomad", "job \"a\" {\n group \"b\" {\n  task \"worker\" {\n   kill_timeout = \"20s\"\n   config {\n    command = \"sidekiq\"\n    args = [\"-t\", \"40\"]\n   }\n  }\n }\n}\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := []Source{{Name: c.file, Text: []byte(c.text), Named: true}}
			mended, left := Mend(source)
			if c.want == "" {
				c.want = c.text
			} else if len(left.Findings) > 0 {
				t.Errorf("%+v is left", left.Findings)
			}
			if diff := cmp.Diff(c.want, string(mended[0].Text)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if string(source[0].Text) != c.text {
				t.Error("the source itself has changed")
			}
		})
	}
}
