//go:build slow

package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Kubernetes hears how many jobs run, half a minute later at most.
func TestPodIsBusy(t *testing.T) {
	t.Parallel()
	onPlatforms(t, func(p *platforms, _ fmt.Stringer) {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if _, costs := p.told(); slices.Contains(costs, "1") {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("Kubernetes was told costs of %q", costs)
			}
		}
	})
}
