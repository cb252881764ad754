//go:build slow

package faulttest

import "github.com/ebbjobs/ebb/internal/netfault"

func init() {
	*serverKills = 8
	syncsOnFullDisk = append(syncsOnFullDisk, "always")
	outages["a port is shut"] = netfault.State{Refuse: true} // and all see it
}
