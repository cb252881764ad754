// Package browser looks at the pages of package web as people do: in a real Chromium,
// on the program as it is built, with a store that is large and with processes that
// stop. Nearly all of it is tests, and all of these are slow.
//
// axe-core, which judges whether everybody can use a page, is not kept here: npm
// fetches what package-lock.json names once, into the user's cache.
package browser
