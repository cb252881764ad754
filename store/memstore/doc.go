// Package memstore keeps jobs in memory, for tests and for fake time.
//
// It does everything that the seam asks for and nothing else, under one mutex, so
// that it can be read as the meaning of package store: where a driver and
// memstore differ, storetest decides. Nothing survives the process.
//
// A store made inside a testing/synctest bubble follows the bubble's clock. It
// starts no goroutines; its only waits are Fetch's.
package memstore
