// Package crashpoint names the moments at which the crash tests kill a process.
// In production the hook is nil and a point costs one load.
package crashpoint

// The points. A name says what has happened and what has not.
const (
	FetchWaiting    = "fetch-waiting"    // blocked in a fetch, nothing ready
	FetchMoved      = "fetch-moved"      // the store has moved the jobs, the reply is not out
	FetchReplied    = "fetch-replied"    // the jobs are here, none has begun
	InHandler       = "in-handler"       // the handler has begun
	BeforeAck       = "before-ack"       // the handler has returned, the store does not know
	AfterAck        = "after-ack"        // the store has forgotten the job, the slot does not know
	DuringRequeue   = "during-requeue"   // a job is on its way back
	DuringPromotion = "during-promotion" // due jobs were read, and not all have moved
	DuringPush      = "during-push"      // a push was sent, its reply is not in
	DuringRescue    = "during-rescue"    // orphans were listed, and not all have moved
)

// Hook is called at every point if it is not nil. Only tests set it, before
// anything runs.
var Hook func(point string)

// At marks a point.
func At(point string) {
	if Hook != nil {
		Hook(point)
	}
}
