package redisstore

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strconv"

	"github.com/ebbjobs/ebb/store"
)

// changeKeys are the texts of changes by hand by their IDs, when each began and when
// it was recorded last.
func (l layout) changeKeys() []string {
	return []string{l.fleet("ebb:change"), l.fleet("ebb:changes"), l.fleet("ebb:changes:recorded")}
}

// Record keeps what c says of a change by hand. Its age counts from then, by the
// server's clock.
func (s *Store) Record(ctx context.Context, c store.Change) error {
	text, err := json.Marshal(c)
	if err == nil {
		_, err = s.one(ctx, &request{script: recordScript, keys: s.changeKeys(), args: []string{
			c.ID, strconv.FormatInt(c.Began.UnixMicro(), 10), string(text),
			strconv.Itoa(int(store.ChangeAge.Seconds())), strconv.Itoa(store.MaxChanges),
		}})
	}
	return wrap("record", err)
}

// Changes walks what Record kept, the latest begun first.
func (s *Store) Changes(ctx context.Context) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		keys := s.changeKeys()
		now := s.now().Unix()
		replies, err := s.do(ctx, command("ZREVRANGE", keys[1], "0", "-1"),
			command("ZRANGEBYSCORE", keys[2], "-inf", strconv.FormatInt(now-int64(store.ChangeAge.Seconds()), 10)))
		if err != nil {
			yield(store.Change{}, wrap("changes", err))
			return
		}
		old := texts(replies[1])
		ids := slices.DeleteFunc(texts(replies[0]), func(id string) bool { return slices.Contains(old, id) })
		for page := range slices.Chunk(ids, pageSize) {
			reply, err := s.one(ctx, command("HMGET", keys[0], page...))
			if err != nil {
				yield(store.Change{}, wrap("changes", err))
				return
			}
			for _, text := range texts(reply) {
				var c store.Change
				if json.Unmarshal([]byte(text), &c) == nil && !yield(c, nil) {
					return
				}
			}
		}
	}
}
