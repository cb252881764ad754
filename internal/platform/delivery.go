package platform

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// shells replace themselves with their last command only sometimes, and pass no
// signal on.
var shells = []string{"sh", "dash", "bash", "ash", "busybox", "zsh", "ksh", "mksh"}

// patient are inits that signal every process below them and wait for the last
// one. All others tell their own child, and end with it.
var patient = []string{"ebb", "ebb-init"}

// managers run whole machines. What they start is not the container's problem.
var managers = []string{"systemd", "init", "launchd", "runit", "openrc-init"}

// Delivery says why a TERM to this container does not reach this process, "" if it
// does or nobody knows.
func Delivery(in Input) string { return delivery(in, recognise(in)) }

// delivery looks whether a TERM to this container reaches this process. It says
// nothing outside of containers, where PID 1 is not whom the notice goes to.
func delivery(in Input, k kind) string {
	if in.Root == nil || !inContainer(in, k) {
		return ""
	}
	chain := Ancestors(in.Root, in.PID)
	if len(chain) < 2 || chain[0].terminal {
		return "" // the first process, one that a person has started, or nothing can be read
	}
	first, above := chain[len(chain)-1], chain[1]
	switch {
	case first.PID != 1 && !paused(in.Root):
		return "" // started in a container that ran already: a hook, a shell for a person
	case slices.Contains(managers, first.Name), slices.Contains(patient, first.Name):
		return ""
	case isShell(first) && !first.Caught.Has(syscall.SIGTERM) && first.PID == 1:
		return fmt.Sprintf("PID 1 is %s, which ignores TERM and tells nobody: every stop will be a KILL; start this process with exec, or under ebb init",
			first.Name)
	case isShell(first) && !first.Caught.Has(syscall.SIGTERM):
		return fmt.Sprintf("the container's first process is %s, which dies of TERM and tells nobody; start this process with exec, or under ebb init",
			first.Name)
	case isShell(above) && len(chain) > 2:
		return fmt.Sprintf("this process is a grandchild of PID %d (%s), by way of %s (PID %d): TERM ends there, and this process is killed with it; start it with exec, or under ebb init",
			first.PID, first.Name, above.Name, above.PID)
	case len(chain) > 2:
		return fmt.Sprintf("this process is a grandchild of PID %d (%s): TERM reaches it only if %s (PID %d) passes it on; start it directly, or under ebb init",
			first.PID, first.Name, above.Name, above.PID)
	}
	return ""
}

// paused reports whether the containers of a Kubernetes pod share their processes:
// then PID 1 is nobody's, and each container has a first process of its own.
func paused(root fs.FS) bool {
	one, err := ReadProcess(root, 1)
	return err == nil && one.Name == "pause"
}

// inContainer believes what runtimes leave behind, and the platforms that are
// nothing but containers.
func inContainer(in Input, k kind) bool {
	if in.Getenv("container") != "" || (k.name != "" && k.name != "systemd" && k.name != "Nomad" && k.name != "Heroku") {
		return true
	}
	for _, mark := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := fs.Stat(in.Root, mark); err == nil {
			return true
		}
	}
	return false
}

// Ancestors returns process pid, its parent, and so on up to the container's first
// process. It stops where nothing can be read.
func Ancestors(root fs.FS, pid int) []Process {
	var chain []Process
	for len(chain) < 64 { // a parent may end, and its number be given away, as we read
		p, err := ReadProcess(root, pid)
		if err != nil {
			return nil
		}
		chain = append(chain, p)
		if p.PID == 1 || p.Parent == 0 { // shared namespaces: the parent is outside
			return chain
		}
		pid = p.Parent
	}
	return nil
}

// isShell also knows a shell by what it was started as: busybox is many things.
func isShell(p Process) bool {
	if p.Name == "busybox" {
		return len(p.Argv) > 0 && isApplet(p.Argv)
	}
	return slices.Contains(shells, p.Name)
}

func isApplet(argv []string) bool {
	name := path.Base(strings.TrimPrefix(argv[0], "-"))
	if name == "busybox" && len(argv) > 1 {
		name = argv[1]
	}
	return slices.Contains(shells, name) && name != "busybox"
}
