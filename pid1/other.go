//go:build !linux

package pid1

import (
	"os"
	"runtime"
)

// Main refuses: what an init does, it does with Linux's means.
func Main(args, _ []string) (exit int) {
	if o, err := parse(args, nil); err == nil && o.show != "" {
		os.Stdout.WriteString(page(o.show))
		return 0
	}
	os.Stderr.WriteString("ebb init: it runs on Linux only, not on " + runtime.GOOS + ": run the command without it\n")
	return 1
}
