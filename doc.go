// Package ebb runs background jobs that survive deploys.
//
// A program that enqueues, and one that works, or both in one:
//
//	package main
//
//	import (
//		"context"
//		"log"
//
//		"github.com/ebbjobs/ebb"
//		_ "github.com/ebbjobs/ebb/store/sqlitestore"
//	)
//
//	type Welcome struct{ UserID int64 }
//
//	var SendWelcome = ebb.Define[Welcome]("WelcomeJob", ebb.Queue("mailers"))
//
//	func main() {
//		ctx := context.Background()
//		client, err := ebb.Open(ctx, "sqlite:ebb.db")
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer client.Close()
//		if _, err := SendWelcome.Enqueue(ctx, client, Welcome{UserID: 42}); err != nil {
//			log.Fatal(err)
//		}
//		process := ebb.NewProcess(client, ebb.Config{})
//		SendWelcome.Handle(process, func(ctx context.Context, w Welcome) error {
//			log.Println("welcome,", w.UserID)
//			return nil
//		})
//		if err := process.Run(ctx); err != nil { // until TERM or ^C
//			log.Fatal(err)
//		}
//	}
//
// # Jobs
//
// [Define] makes a kind of job from a name and a Go type. The value is all that a
// producer needs: [Job.Enqueue] and [Job.EnqueueMany] put jobs into the store that a
// [Client] has open, now or for later ([In], [At]). When they return nil, the store
// keeps the job, and from then on it is in exactly one place until it is done with:
// in its queue, in a process's keeping, or in the scheduled, the retry or the dead
// set. The fields of the type travel as Sidekiq's positional arguments, so that Ruby
// and Go can enqueue for each other; [Client.Push] reaches a kind by its name alone,
// and [Client.InTx] enqueues in your own transaction.
//
// # Handlers
//
// [Job.Handle] registers the function that runs a job in a [Process]. What it
// returns is the verdict. Nil: done. An error: try again later, and bury the job
// when it is out of tries. [Snooze], [Discard], [Bury] and [ErrYield] say something
// else. A job may run twice, since a process can die between doing the work and
// saying so; that is rare, and a handler must bear it.
//
// # Stopping
//
// [Process.Run] ends on TERM: nothing new is fetched, [Stopping] tells each handler
// when the kill will come, and shortly before that its context ends with
// [ErrDraining]. A job that returns then is given back: no attempt is spent, and it
// goes on from its last [Checkpoint] in another process. One that is killed is
// rescued by any other living process, and goes on in the same way.
//
// # Stores
//
// A store is chosen by a URL, and its driver by an import: sqlitestore for
// "sqlite:ebb.db", redisstore for "redis://localhost:6379/0", memstore for "mem:",
// which tests use, or storeurl for all of them.
package ebb
