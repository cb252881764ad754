//go:build slow

package crashtest

import (
	"testing"

	"github.com/ebbjobs/ebb/internal/redistest"
)

func init() {
	*jobs, *rounds, *restarts = 2000, 2, 5
	judges["Redis"] = func(t *testing.T) string { return redistest.Start(t).URL() }
}
