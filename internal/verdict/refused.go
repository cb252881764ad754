package verdict

// Refused is a store's clear answer to a push that is none of the seam's own: it
// is not to be repeated, and Err is for the caller. In tests, Err is what became
// of the job.
type Refused struct{ Err error }

func (r *Refused) Error() string { return r.Err.Error() }
func (r *Refused) Unwrap() error { return r.Err }
