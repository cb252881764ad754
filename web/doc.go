// Package web shows a store to people: what runs and waits, how processes stopped and
// what that did to each job. It is an [http.Handler] to mount in a program's own
// server; ebb web serves it alone.
//
//	ui, err := web.New(client, web.Options{Auth: web.Basic("ops", secret)})
//	mux.Handle("/jobs/", http.StripPrefix("/jobs", ui))
//
// Pages are made on the server and work without script; script only keeps them fresh
// and quick to move about in. Nothing is loaded from elsewhere, and the policy that
// goes with every answer allows no more than that.
//
// What a page shows that may change by itself is a topic: it is read from the store about
// once a second however many people look, and not at all when nobody does.
package web
