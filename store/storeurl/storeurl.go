// Package storeurl links every driver that ebb has, for programs that take the
// store's URL from their configuration. A program that knows its store imports
// that one driver instead and stays smaller.
package storeurl

import (
	"context"

	"github.com/ebbjobs/ebb/store"
	_ "github.com/ebbjobs/ebb/store/memstore"
	_ "github.com/ebbjobs/ebb/store/redisstore"
	_ "github.com/ebbjobs/ebb/store/sqlitestore"
)

// Open is [store.Open] with every driver linked in.
func Open(ctx context.Context, url string) (store.Store, error) { return store.Open(ctx, url) }
