//go:build slow

package interop

import (
	"testing"
	"time"
)

func TestSoakOfTenThousand(t *testing.T) { soaks(t, 10_000, 30*time.Second) }
