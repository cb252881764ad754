package doctor

import (
	"bytes"
	"path"
	"strings"
)

// reader turns files of one format into facts.
type reader struct {
	// claims says by its name that a file is of this format. Some formats have no
	// names of their own and are known by what is in them.
	claims func(s Source) bool
	read   func(f *facts, s Source)
}

// readers are asked in order, and the first one that claims a file gets it.
var readers = []reader{
	{isDockerfile, (*facts).readDockerfile},
	{isProcfile, (*facts).readProcfile},
	{isUnit, (*facts).readUnit},
	{isHCL, (*facts).readNomad},
	{isFly, (*facts).readFly},
	{isCloud66, (*facts).readCloud66},
	{isCompose, (*facts).readCompose},
	{isSettings, (*facts).readSettings},
	{isMakefile, (*facts).readMakefile},
	{isPipeline, (*facts).readPipeline},
	{isKubernetes, (*facts).readKubernetes},
	{isECS, (*facts).readECS},
	{isImageConfig, (*facts).readImageConfig},
	{isScript, (*facts).readScript},
}

func read(sources []Source) *facts {
	f := &facts{}
	for _, s := range sources {
		claimed := false
		for _, r := range readers {
			if claimed = r.claims(s); claimed {
				r.read(f, s)
				break
			}
		}
		if !claimed && s.Named {
			f.problem(Place{File: s.Name}, "this is no file that the doctor knows")
		}
	}
	return f
}

// Wanted reports whether a file of that name may be of a format that is read, so that
// a folder can be searched without reading all of it.
func Wanted(name string) bool {
	base := path.Base(name)
	switch ext := path.Ext(base); {
	case ext == ".yml" || ext == ".yaml" || ext == ".json" || ext == ".sh" || ext == ".service" || ext == ".conf" || ext == ".hcl" || ext == ".nomad" || ext == ".toml" || ext == ".mk" || ext == ".lock" && base == "Gemfile.lock":
		return true
	case isDockerfile(Source{Name: name}):
		return true
	}
	return ext(base) == ""
}

func ext(base string) string { return strings.TrimPrefix(path.Ext(base), ".") }

func isYAML(name string) bool {
	e := path.Ext(name)
	return e == ".yml" || e == ".yaml"
}

// isScript knows shell scripts by their ending or first line.
func isScript(s Source) bool {
	first, _, _ := bytes.Cut(s.Text, []byte("\n"))
	if !bytes.HasPrefix(first, []byte("#!")) {
		return path.Ext(s.Name) == ".sh"
	}
	for field := range strings.FieldsSeq(strings.TrimPrefix(string(first), "#!")) {
		if _, known := shells[path.Base(field)]; known {
			return true
		}
	}
	return false
}

func (f *facts) readScript(s Source) {
	path, err := readShell(string(s.Text))
	if err != nil {
		f.shellProblem(s.Name, err)
		return
	}
	f.scripts = append(f.scripts, &script{name: s.Name, dir: dirOf(s.Name), path: path})
}

func dirOf(name string) string { return path.Dir(name) }

// Formats are the kinds of files that are read, in words.
const Formats = "Dockerfiles, image configurations,\nentrypoint scripts, Makefiles, workflows of GitHub and pipelines of GitLab, Compose\nfiles, Kubernetes manifests, ECS task definitions and CloudFormation, systemd units,\nProcfile, Nomad jobs, fly.toml, Cloud 66's service.yml and manifest.yml, sidekiq.yml,\nebb.yml, Gemfile.lock and package.json"
