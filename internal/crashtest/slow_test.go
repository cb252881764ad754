//go:build slow

package crashtest

func init() { *jobs, *rounds, *restarts = 2000, 2, 5 }
