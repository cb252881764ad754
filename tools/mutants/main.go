// Command mutants takes each protection of a table out of a copy of this repository,
// in turn, and runs the test that must go red without it. It prints which test did,
// and exits with 1 if a protection can be taken out unnoticed, since then nothing
// keeps it where it is.
//
// The copy is kept in the user's cache folder, so that the next run builds only what
// has changed. The repository itself is only read.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	table := flags.String("table", filepath.Join("mutants", "protections.txt"), "`FILE` that names the protections")
	root := flags.String("root", "..", "`FOLDER` of the repository")
	pick := flags.String("run", "", "only protections whose name matches this `REGEXP`")
	timeout := flags.Duration("timeout", 3*time.Minute, "a test that takes longer has gone red")
	if err := flags.Parse(args); err != nil {
		return err
	}
	only, err := regexp.Compile(*pick)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	all, err := readTable(*table)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(p protection) bool { return !only.MatchString(p.name) })
	if len(all) == 0 {
		return fmt.Errorf("no protection matches %q", *pick)
	}
	t, err := copyTree(*root)
	if err != nil {
		return err
	}
	defer t.unlock()
	return tryAll(ctx, t, all, *timeout, out)
}

// tryAll prints a line for each protection as soon as it is known.
func tryAll(ctx context.Context, t *tree, all []protection, timeout time.Duration, out io.Writer) error {
	width := 0
	for _, p := range all {
		width = max(width, len(p.name))
	}
	green := map[string]outcome{} // of what is as it was, by command
	var bad []string
	began := time.Now()
	for i, p := range all {
		fmt.Fprintf(out, "%3d/%d  %-*s  ", i+1, len(all), width, p.name)
		before, known := green[p.command()]
		if !known {
			before = goTest(ctx, t.dir, p.test, timeout)
			green[p.command()] = before
		}
		mutated := time.Now()
		var o outcome
		if before.ok {
			o = try(ctx, t, p, timeout)
		}
		if ctx.Err() != nil { // which is what ended the test
			fmt.Fprintln(out)
			return context.Cause(ctx)
		}
		verdict := ""
		switch {
		case !before.ok:
			verdict = "BROKEN: red with the protection in its place, too: " + before.why()
		case o.ok:
			verdict = "SURVIVED " + p.command()
		case len(o.failed) == 0:
			verdict = "BROKEN: no test could run without: " + o.why()
		default:
			fmt.Fprintf(out, "%6.1f s  %s\n", time.Since(mutated).Seconds(), o.why())
			continue
		}
		fmt.Fprintln(out, verdict)
		bad = append(bad, p.name)
	}
	fmt.Fprintf(out, "%d protections, %d caught, in %v\n", len(all), len(all)-len(bad), time.Since(began).Round(time.Second))
	if len(bad) > 0 {
		return fmt.Errorf("not caught: %s", strings.Join(bad, ", "))
	}
	return nil
}

// try takes one protection out, runs its test, and puts it back.
func try(ctx context.Context, t *tree, p protection, timeout time.Duration) outcome {
	defer t.restore()
	for _, h := range p.hunks {
		if err := t.edit(h); err != nil {
			return outcome{output: err.Error()}
		}
	}
	return goTest(ctx, t.dir, p.test, timeout)
}
