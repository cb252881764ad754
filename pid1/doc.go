// Package pid1 is ebb init: it starts one command as its child, passes signals on,
// reaps whatever is left to it, and exits with the child's code. It is meant to be
// process 1 of a container, and works as any other process too.
//
// Other inits exit the moment their child does, and the kernel kills what is left.
// This one stays until the last descendant is gone, for as long as the grace period
// or, outside of a stop, a short while allows. Asked to, it ends its child by a stop
// sequence, gives back the jobs of one that crashed, and starts it again.
//
// One goroutine, the one that Main runs on, starts processes, signals them and waits
// for them. So no number of a process is ever signalled that might by then be another
// one's, and no end is missed.
//
// It works on Linux. Elsewhere Main refuses.
package pid1
