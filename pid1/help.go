package pid1

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"
)

// page is what -h, --version and -l print.
func page(show string) string {
	switch show {
	case showVersion:
		version := "devel"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
			version = cmp.Or(info.Main.Version, version)
		}
		return "ebb init " + version + "\n"
	case showLicense:
		return "MIT License, Copyright (c) 2026 The ebb authors. The file LICENSE has the text.\n"
	}
	var b strings.Builder
	b.WriteString("Usage: ebb init [FLAGS] [--] COMMAND [ARGS]\n\n" +
		"Run COMMAND as process 1 of a container: pass signals on, reap, wait for all that it\nleaves behind, and exit with its code.\n\n")
	for _, f := range flags {
		name := "    "
		if f.Short != "" {
			name = "-" + f.Short + ", "
		}
		fmt.Fprintf(&b, "  %s--%-22s %s\n", name, strings.TrimSpace(f.Long+" "+f.Value), f.Usage)
	}
	return b.String()
}
