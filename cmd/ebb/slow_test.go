//go:build slow

package main

func init() {
	slow = true
	*workerKills, *bulkKills, *interruptions = 20, 20, 15
	clear(longExamples)
}
