// Command ebb-init is ebb init alone, for images that have no other use for ebb: small
// enough to stay in memory beside every worker. See package pid1.
package main

import (
	"os"

	"github.com/ebbjobs/ebb/pid1"
)

func main() { os.Exit(pid1.Main(os.Args[1:], os.Environ())) }
