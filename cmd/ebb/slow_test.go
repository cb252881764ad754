//go:build slow

package main

func init() {
	*workerKills, *bulkKills, *interruptions = 20, 20, 15
	clear(longExamples)
}
