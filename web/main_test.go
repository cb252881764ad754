package web

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if anything of closed pages runs on.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
