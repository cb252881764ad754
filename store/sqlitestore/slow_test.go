//go:build slow

package sqlitestore

func init() { *powerCuts, *kills = 24, 12 }
