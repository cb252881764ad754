package bulk

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"slices"

	"github.com/ebbjobs/ebb/store"
)

// set is a multiset of the keys of jobs, by their hashes: a million take 12 MB. Two
// jobs in a queue that are the same to the byte may share a key.
type set struct {
	hashes []uint64 // sorted, each once
	counts []uint32
	left   int64
}

var seed = maphash.MakeSeed()

func hash(k store.Key) uint64 { return maphash.String(seed, string(k)) }

// mark is a hash of a key that is the same in every process.
func mark(k store.Key) string {
	sum := sha256.Sum256([]byte(k))
	return hex.EncodeToString(sum[:8])
}

// newSet makes a set of hashes, which it keeps.
func newSet(hashes []uint64) set {
	s := set{left: int64(len(hashes))}
	slices.Sort(hashes)
	for i, h := range hashes {
		if i > 0 && h == hashes[i-1] {
			s.counts[len(s.counts)-1]++
		} else {
			s.counts = append(s.counts, 1)
		}
	}
	s.hashes = slices.Compact(hashes)
	return s
}

// take takes one key out, and reports whether it was in there.
func (s *set) take(k store.Key) bool {
	i, found := slices.BinarySearch(s.hashes, hash(k))
	if !found || s.counts[i] == 0 {
		return false
	}
	s.counts[i]--
	s.left--
	return true
}

// drop takes any n keys out.
func (s *set) drop(n int64) {
	for i := range s.counts {
		if n == 0 {
			return
		}
		few := min(int64(s.counts[i]), n)
		s.counts[i] -= uint32(few)
		s.left -= few
		n -= few
	}
}
