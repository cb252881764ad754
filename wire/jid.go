package wire

import (
	"encoding/hex"
	"math/rand/v2"
	"sync"
	"time"
)

// jids makes each jid of this process sort after the one before.
var jids struct {
	sync.Mutex
	ms   int64
	tail uint64
}

const (
	tailBits = 48
	// A new millisecond starts in the lower half of what its tail can hold, so
	// that there is room to count up: for some 100 million jids.
	startBits = tailBits - 1
	stepBits  = 20
	// setBack is by how much the clock must fall behind the last jid to be
	// believed: by less, one of two callers at once was only slower.
	setBack = 1000
)

// NewJID returns 24 lower-case hex digits: 12 of the milliseconds since the
// epoch, then 12 of chance. Jids made one after the other in one process sort in
// that order, even within a millisecond, unless the clock was set back between
// them by more than a second.
func NewJID(now time.Time) string {
	ms := max(now.UnixMilli(), 0)
	chance := rand.Uint64()

	jids.Lock()
	if ms > jids.ms || ms < jids.ms-setBack {
		jids.ms, jids.tail = ms, chance>>(64-startBits)
	} else if jids.tail += 1 + chance>>(64-stepBits); jids.tail >= 1<<tailBits {
		jids.ms, jids.tail = jids.ms+1, chance>>(64-startBits)
	}
	ms, tail := jids.ms, jids.tail
	jids.Unlock()

	var raw [12]byte
	for i := range 6 {
		raw[i] = byte(ms >> (40 - 8*i))
		raw[6+i] = byte(tail >> (40 - 8*i))
	}
	var text [24]byte
	hex.Encode(text[:], raw[:])
	return string(text[:])
}
