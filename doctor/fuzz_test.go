package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// fuzzReader throws anything at the reader of one format. Whatever a file says, the
// doctor answers, twice the same, and names places that are in the file.
func fuzzReader(f *testing.F, name string, claims func(Source) bool) {
	filepath.WalkDir("testdata", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if claims(Source{Name: filepath.ToSlash(file), Text: text}) {
			f.Add(text)
		}
		return nil
	})
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<14 {
			return
		}
		s := Source{Name: name, Text: text, Named: true}
		once, again := Examine([]Source{s}), Examine([]Source{s})
		if len(once.Findings) != len(again.Findings) || len(once.Problems) != len(again.Problems) {
			t.Errorf("%+v, and then %+v", once, again)
		}
		for _, found := range once.Findings {
			if found.At.File != name || found.At.Line < 1 || found.Effect == "" || found.Fix == "" {
				t.Errorf("a finding is nowhere or says nothing: %+v", found)
			}
		}
		for _, p := range once.Problems {
			if p.At.File != name || p.At.Line < 0 || p.Text == "" {
				t.Errorf("a problem is nowhere or says nothing: %+v", p)
			}
		}
	})
}

func FuzzDockerfile(f *testing.F) { fuzzReader(f, "Dockerfile", isDockerfile) }
func FuzzScript(f *testing.F)     { fuzzReader(f, "start.sh", isScript) }
func FuzzKubernetes(f *testing.F) { fuzzReader(f, "worker.yaml", isKubernetes) }
func FuzzCompose(f *testing.F)    { fuzzReader(f, "compose.yml", isCompose) }
func FuzzECS(f *testing.F)        { fuzzReader(f, "task.json", isECS) }
func FuzzUnit(f *testing.F)       { fuzzReader(f, "worker.service", isUnit) }
func FuzzProcfile(f *testing.F)   { fuzzReader(f, "Procfile", isProcfile) }
func FuzzNomad(f *testing.F)      { fuzzReader(f, "worker.nomad", isHCL) }
func FuzzFly(f *testing.F)        { fuzzReader(f, "fly.toml", isFly) }
func FuzzCloud66(f *testing.F)    { fuzzReader(f, "service.yml", isCloud66) }
func FuzzImage(f *testing.F)      { fuzzReader(f, "image.json", isImageConfig) }
func FuzzMakefile(f *testing.F)   { fuzzReader(f, "Makefile", isMakefile) }
func FuzzPipeline(f *testing.F)   { fuzzReader(f, ".gitlab-ci.yml", isPipeline) }
func FuzzSettings(f *testing.F)   { fuzzReader(f, "sidekiq.yml", isSettings) }
