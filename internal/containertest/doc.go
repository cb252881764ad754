// Package containertest stops workers as platforms do, in real containers: those that
// lose jobs today, and the same behind ebb. Its tests start a Docker daemon of their
// own, so they need root, and are built with -tags containers only; scripts/test runs
// them.
package containertest
