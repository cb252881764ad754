//go:build slow

package faulttest

import (
	"time"

	"github.com/ebbjobs/ebb/internal/netfault"
)

func init() {
	// Longer than a reply is waited for, and than a beat, and shorter than a lease.
	const long = 6 * time.Second
	troubles["half a second each way, and resets"] = trouble{1, func(way *netfault.Proxy, _ bool) {
		way.Set(netfault.State{Delay: 500 * time.Millisecond})
		for range 3 {
			<-time.After(long / 4)
			way.Cut()
		}
	}}
	troubles["nothing arrives, or only after it was given up"] = trouble{1, func(way *netfault.Proxy, cut bool) {
		way.Set(netfault.State{Hold: true})
		if <-time.After(long); cut {
			way.Cut()
		}
	}}
}
