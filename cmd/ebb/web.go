package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/doctor"
	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/web"
)

// webFlags are what ebb web is told.
type webFlags struct {
	listen, base, auth, roles, title, env string
	hosts, trust, redact                  []string
	readOnly, hideArgs, open              bool
}

func newWeb(a *app) *cobra.Command {
	var f webFlags
	cmd := &cobra.Command{
		Use: "web", Short: "Serve the pages that show and change what is in a store",
		Long: `Serve pages for browsers: what runs and waits, how processes stopped and what that did
to each job. It runs no jobs itself. The address is printed once it answers.

On this machine's own address nobody is asked for a password, and everybody who comes
from this machine may do everything. To be reached from elsewhere it needs --auth:

  basic:FILE           a name and a password, which the browser asks for
  bearer:FILE          a token in the Authorization header
  proxy:HEADER,CIDR    the name that a proxy in this network writes into a header
  none                 nobody is asked here: something else does, and --host is needed

A line of FILE is NAME:ROLE:SECRET. The role is viewer, operator or admin, and the
secret is the password or token, or sha256:HEX of one that is too long to be guessed.
Others must not be able to read the file. Names from a proxy have their roles by --roles.`,
		Example: example("ebb web", "ebb web --listen :9090 --auth basic:people --env production",
			"ebb web --listen :9090 --auth proxy:X-Forwarded-User,10.0.0.0/8 --roles roles --base /jobs"),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveWeb(cmd.Context(), &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:9090", "`ADDRESS` to answer at; port 0 takes a free one")
	flags.StringVar(&f.auth, "auth", "", "`HOW` to find out who asks: basic:FILE, bearer:FILE, proxy:HEADER,CIDR or none")
	flags.StringVar(&f.roles, "roles", "", "`FILE` of lines NAME:ROLE for names from a proxy; * is everybody else (default: all are admins)")
	flags.StringSliceVar(&f.hosts, "host", nil, "only under these `NAMES` (default: any with --auth, else those of this machine)")
	flags.StringVar(&f.base, "base", "", "answer below this `PATH`, such as /jobs")
	flags.StringSliceVar(&f.trust, "trust", nil, "networks (`CIDR`) of proxies whose X-Forwarded-Prefix counts")
	flags.BoolVar(&f.readOnly, "read-only", false, "change nothing, whoever asks; EBB_READONLY says it too")
	flags.BoolVar(&f.hideArgs, "hide-args", false, "show the arguments of jobs to operators and admins only")
	flags.StringSliceVar(&f.redact, "redact", nil, "hide values in arguments whose key contains one of these `WORDS`")
	flags.StringVar(&f.title, "title", "", "`NAME` of what is shown (default: the host name)")
	flags.StringVar(&f.env, "env", "", "`WHERE` the jobs run; production and staging have a band, and production asks twice")
	flags.BoolVar(&f.open, "open", false, "open a browser, where a person is at the terminal")
	return cmd
}

// serveWeb opens what is to be shown, and shows it.
func (a *app) serveWeb(ctx context.Context, f *webFlags) error {
	opt, err := a.webOptions(f)
	if err != nil {
		return err
	}
	if _, err := a.openExisting(ctx); err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	ui, err := web.New(client, opt)
	if err != nil {
		return code(exitUsage, err)
	}
	return a.answer(ctx, f, ui)
}

// answer serves the pages until ctx ends. Streams are told so before the socket closes,
// and open pages come back by themselves.
func (a *app) answer(ctx context.Context, f *webFlags, ui *web.UI) error {
	socket, err := net.Listen("tcp", f.listen)
	if err != nil {
		ui.Close()
		return store.WithHint(fmt.Errorf("cannot answer at %s: %w", f.listen, err), "--listen 127.0.0.1:0 takes a free port")
	}
	server := &http.Server{
		Handler: f.mounted(ui), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(a.log().Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()
	address := (&url.URL{Scheme: "http", Host: browsable(socket.Addr()), Path: f.base + "/"}).String()
	_, err = fmt.Fprintln(a.term.Out, address)
	if err == nil && f.open && a.term.OutWatched {
		openBrowser(ctx, address)
	}
	if err == nil {
		select {
		case err = <-ended:
			ended <- err
		case <-ctx.Done():
		}
	}
	ui.Close()
	return errors.Join(err, endServer(server, ended))
}

// mounted is the pages below the base. A proxy that takes the base away says so by
// X-Forwarded-Prefix instead.
func (f *webFlags) mounted(ui http.Handler) http.Handler {
	if f.base == "" {
		return ui
	}
	mux := http.NewServeMux()
	mux.Handle(f.base+"/", http.StripPrefix(f.base, ui))
	return mux
}

// endServer waits for answers that are due, and not for longer than that.
func endServer(server *http.Server, ended <-chan error) error {
	ctx, end := context.WithTimeout(context.Background(), 2*time.Second)
	defer end()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// webOptions are the flags as the pages take them.
func (a *app) webOptions(f *webFlags) (opt web.Options, err error) {
	settings, err := a.settings(config.Input{})
	if err != nil {
		return opt, err
	}
	f.base = strings.TrimSuffix(f.base, "/")
	if f.auth == "" && !onlyHere(f.listen) {
		return opt, code(exitUsage, store.WithHint(fmt.Errorf("--listen %s is reached from elsewhere, and nobody would be asked who they are", f.listen),
			"add --auth basic:FILE, or see ebb web --help"))
	}
	opt = web.Options{
		ReadOnly: f.readOnly || settings.ReadOnly, HideArgs: f.hideArgs,
		Hosts: f.hosts, Base: f.base, Title: f.title, Env: web.Env(f.env), Explain: explain,
	}
	if len(f.redact) > 0 {
		opt.Redact = web.KeysMatching(f.redact...)
	}
	if opt.Trusted, err = networks(f.trust); err != nil {
		return opt, usage("--trust: %w", err)
	}
	opt.Auth, opt.Role, err = f.who()
	return opt, code(exitUsage, err)
}

func explain(finding string) (web.Rule, bool) {
	rule, ok := doctor.Explain(finding)
	return web.Rule{ID: rule.ID, Why: rule.Why, Fix: rule.Fix}, ok
}

// onlyHere reports whether an address to listen at is reached from this machine alone.
func onlyHere(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // listening says what is wrong with it
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// browsable is an address as a browser on this machine can ask for it.
func browsable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return addr.String()
}

// openBrowser tries to: a person who sees none has the address.
func openBrowser(ctx context.Context, address string) {
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	cmd := exec.CommandContext(ctx, opener, address)
	if cmd.Start() == nil {
		go cmd.Wait()
	}
}
