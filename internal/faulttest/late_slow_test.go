//go:build slow

package faulttest

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/store"
)

func init() {
	// It knows that the store was away.
	companies["beside one whose store was away"] = company{2 * shortLease.TTL, func(v *rivals) {
		v.server.Pause()
		<-time.After(shortLease.TTL + time.Second)
		v.server.Resume()
		v.lapsed()
		<-time.After(look)
	}}
}

// On SQLite the lock says that a frozen process lives. It is waited for, and named,
// and no job ends because of its lease.
func TestFrozenProcessIsWaitedForOnSQLite(t *testing.T) {
	t.Parallel()
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "ebb.db"), nil)
	lease := shortLease
	lease.CutOff = ebb.EndJobs
	v := s.rivals("", lease)
	v.begin(endsWell, endsSaved, endsTold)
	v.watch(ownLease)
	v.late.freeze()
	v.late.give(during)
	v.await("frozen process", func() bool { return v.late.record().Frozen })
	<-time.After(2 * shortLease.TTL)
	if p := v.late.record(); !p.Frozen || p.Lapsed || p.Holds != int64(len(v.jobs)) {
		t.Errorf("the frozen process shows as %+v", p)
	}
	v.since("while it is frozen", store.Books{Held: int64(len(v.jobs))})
	v.late.thaw()
	v.other.stop() // all that is done from here on is the late one's
	v.keeps(0)
}
