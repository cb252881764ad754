package redisstore

import "testing"

func TestAgeEmptiesNoDeadSetAtOnce(t *testing.T) {
	t.Parallel()
	var r ration
	gone := 0
	for range 50 {
		gone += r.take(100)
	}
	if gone != agedAMinute {
		t.Errorf("%d went in one minute, %d are the most", gone, agedAMinute)
	}
}
