// Package storeurl links in every driver, for programs that let a URL decide.
//
//	sqlite:ebb.db
//	redis://[user:password@]host:6379/0           rediss:// with TLS
//	unix:///run/redis/redis.sock?db=0
//	redis-sentinel://[user:password@]host1:26379,host2:26379/name/0
//	mem:
//
// A program that knows its store imports that driver instead and is smaller.
package storeurl

import (
	"context"

	"github.com/ebbjobs/ebb/store"
	_ "github.com/ebbjobs/ebb/store/memstore"    // mem:
	_ "github.com/ebbjobs/ebb/store/redisstore"  // redis: rediss: unix: redis-sentinel: rediss-sentinel:
	_ "github.com/ebbjobs/ebb/store/sqlitestore" // sqlite:
)

// Open opens the store that url names. The error of a wrong URL says what is wrong
// with it and, as a hint, what a right one looks like; it repeats no credentials.
func Open(ctx context.Context, url string) (store.Store, error) { return store.Open(ctx, url) }
