// Package mixedtest drains a store by an earlier release and by this one, side by
// side and in turns, as every deploy and every roll-back of one does.
//
// It is all tests. The earlier release is built from the repository's history and
// kept in the user's cache folder.
package mixedtest
