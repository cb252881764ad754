// Package parallel has tests run side by side that wait more than they compute.
package parallel

import (
	"flag"
	"runtime"
	"strconv"
)

// Tests lets so many tests of a package run at once for each processor. It is for
// TestMain, before flags are read: -parallel on the command line counts for more.
func Tests(each int) {
	if err := flag.Set("test.parallel", strconv.Itoa(each*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // this is no test
	}
}
