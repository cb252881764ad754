// Command web-mount is a server of its own that has ebb's pages under /jobs, behind a
// password, and once more under /ops, for whoever a proxy has let in.
package main

import (
	"context"
	"log"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ebbjobs/ebb"
	_ "github.com/ebbjobs/ebb/store/sqlitestore"
	"github.com/ebbjobs/ebb/web"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := ebb.Open(ctx, "sqlite:jobs.db")
	if err != nil {
		return err
	}
	defer client.Close()
	handler, end, err := routes(client, os.Getenv("OPS_PASSWORD"))
	if err != nil {
		return err
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		end() // first, so that open pages let go of the server
		server.Shutdown(context.Background())
	})
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// routes are those of the program, with the pages among them. end lets go of what the
// pages have begun.
func routes(client *ebb.Client, password string) (handler http.Handler, end func(), err error) {
	jobs, err := web.New(client, web.Options{Title: "shop", Auth: web.Basic("ops", password)})
	if err != nil {
		return nil, nil, err
	}
	ops, err := web.New(client, web.Options{
		Title: "shop",
		Auth:  web.ProxyHeader("X-Forwarded-User", netip.MustParsePrefix("127.0.0.0/8")),
		Role: func(u web.User) web.Role {
			if u.Name == "ada" {
				return web.Admin
			}
			return web.Viewer
		},
	})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/jobs/", http.StripPrefix("/jobs", jobs))
	mux.Handle("/ops/", http.StripPrefix("/ops", ops))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("the shop\n")) })
	return mux, func() {
		jobs.Close()
		ops.Close()
	}, nil
}
