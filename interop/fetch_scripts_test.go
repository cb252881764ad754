package interop

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ebbjobs/ebb/internal/redistest"
)

const (
	gemFolder   = "../integrations/ruby"
	gemScripts  = gemFolder + "/lib/ebb/scripts"
	goScripts   = "../store/redisstore/scripts"
	rubyMissing = "hint: apt-get install ruby-sidekiq"
)

// Ruby and Go keep jobs by one set of scripts, so neither can do to the other's what
// it would not do to its own.
func TestRubysScriptsAreOurs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(gemScripts + "/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", gemScripts, err)
	}
	for _, file := range files {
		theirs, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		ours, err := os.ReadFile(filepath.Join(goScripts, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirs, ours) {
			t.Errorf("%s is not the store's\nhint: cp store/redisstore/scripts/%s integrations/ruby/lib/ebb/scripts/", name, name)
		}
	}
}

// The tests of the gem itself run it on the real 6.4.1, and on stand-ins for what 7 and
// 8 have instead.
func TestGem(t *testing.T) {
	t.Parallel()
	readGem(t)
	for _, tt := range []struct{ version, file, path string }{
		{"6.4.1", "options_test.rb", "lib"},
		{"7.3.10", "capsules_test.rb", "test/standin"},
		{"8.1.7", "capsules_test.rb", "test/standin"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			cmd := exec.CommandContext(t.Context(), "ruby", "-W0", "-I"+tt.path, "-Ilib", "-Itest", "test/"+tt.file)
			cmd.Dir = gemFolder
			cmd.Env = append(os.Environ(), "REDIS_URL="+server.URL(), "SIDEKIQ_VERSION="+tt.version)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s%s", err, out, rubyMissing)
			}
		})
	}
}

// readGem reads the gem's files: go test repeats what it knows of a test unless a file
// has changed that the test itself has opened.
func readGem(t testing.TB) {
	t.Helper()
	err := filepath.WalkDir(gemFolder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rubyOnce runs a program in a Ruby process of its own, in the gem's folder.
func rubyOnce(t *testing.T, server *redistest.Server, program string) string {
	t.Helper()
	readGem(t)
	cmd := exec.CommandContext(t.Context(), "ruby", "-W0", "-e", program)
	cmd.Dir = gemFolder
	cmd.Env = append(os.Environ(), "REDIS_URL="+server.URL())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, rubyMissing)
	}
	return string(out)
}
