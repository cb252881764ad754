package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// User is who asks.
type User struct {
	// Name stands in the audit trail.
	Name string
	// Groups are for [Options.Role] to look at.
	Groups []string
}

// Role is what a user may do.
type Role int

// The roles. Each may do what those before it may.
const (
	Nobody   Role = iota // sees nothing
	Viewer               // sees
	Operator             // quiets, stops, pauses, retries and reschedules
	Admin                // also buries, deletes, moves, edits and enqueues
)

func (r Role) String() string {
	if r < Nobody || r > Admin {
		return "unknown role"
	}
	return [...]string{"nobody", "viewer", "operator", "admin"}[r]
}

// Auth finds out who asks.
type Auth interface {
	// User returns who asks. An error that is or wraps [ErrUnauthorized] is answered
	// with 401 and what Challenge returns, any other with 403.
	User(r *http.Request) (User, error)
	// Challenge is the WWW-Authenticate header; empty: none.
	Challenge() string
}

// ErrUnauthorized says that nobody has said who they are, or not truly.
var ErrUnauthorized = errors.New("web: who are you?")

// Func is an Auth that asks f, for a program that knows its users already.
func Func(f func(r *http.Request) (User, error)) Auth { return funcAuth(f) }

type funcAuth func(*http.Request) (User, error)

func (f funcAuth) User(r *http.Request) (User, error) { return f(r) }
func (f funcAuth) Challenge() string                  { return "" }

// Anybody is an Auth that lets everybody in who reaches the handler, for one that
// something else protects.
func Anybody() Auth {
	return Func(func(*http.Request) (User, error) { return User{}, nil })
}

// Basic is an Auth of one user with a password, which the browser asks for.
func Basic(name, password string) Auth {
	return BasicFunc(func(_ context.Context, n, p string) bool { return same(n, name) && same(p, password) })
}

// BasicFunc is as Basic, for many users: check reports whether a password is right.
func BasicFunc(check func(ctx context.Context, name, password string) bool) Auth {
	return basicAuth(check)
}

type basicAuth func(ctx context.Context, name, password string) bool

func (check basicAuth) User(r *http.Request) (User, error) {
	name, password, ok := r.BasicAuth()
	if !ok || !check(r.Context(), name, password) {
		return User{}, ErrUnauthorized
	}
	return User{Name: name}, nil
}

func (check basicAuth) Challenge() string { return `Basic realm="ebb", charset="UTF-8"` }

// Bearer is an Auth of one user with a token in the Authorization header.
func Bearer(name, token string) Auth {
	return BearerFunc(func(_ context.Context, t string) (string, bool) { return name, token != "" && same(t, token) })
}

// BearerFunc is as Bearer, for many users: whose returns the name of the user who has
// the token, if there is one.
func BearerFunc(whose func(ctx context.Context, token string) (name string, ok bool)) Auth {
	return bearerAuth(whose)
}

type bearerAuth func(ctx context.Context, token string) (string, bool)

func (whose bearerAuth) User(r *http.Request) (User, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return User{}, ErrUnauthorized
	}
	name, ok := whose(r.Context(), token)
	if !ok {
		return User{}, ErrUnauthorized
	}
	return User{Name: name}, nil
}

func (bearerAuth) Challenge() string { return `Bearer realm="ebb"` }

// ProxyHeader is an Auth that believes what a proxy writes into a header, such as
// X-Forwarded-User, if the request comes from one of proxies. From anybody else it is
// nobody's word.
func ProxyHeader(header string, proxies ...netip.Prefix) Auth { return proxyAuth{header, proxies} }

type proxyAuth struct {
	header  string
	proxies []netip.Prefix
}

func (p proxyAuth) User(r *http.Request) (User, error) {
	values := r.Header.Values(p.header)
	if len(values) != 1 || values[0] == "" || !from(r, p.proxies) {
		return User{}, ErrUnauthorized
	}
	return User{Name: values[0]}, nil
}

func (proxyAuth) Challenge() string { return "" }

// from reports whether a request comes straight from one of networks.
func from(r *http.Request, networks []netip.Prefix) bool {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr.Addr().Unmap()) })
}

// same compares secrets in a time that does not tell where they differ.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// localAuth is for when nobody is asked: who comes from this machine, and straight.
type localAuth struct{}

func (localAuth) User(r *http.Request) (User, error) {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !addr.Addr().Unmap().IsLoopback() {
		return User{}, errors.New("nobody is asked for a password here, so that only this machine is served")
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if len(r.Header.Values(header)) > 0 { // some proxies add theirs behind an empty one
			return User{}, errors.New("this came through a proxy, and nobody is asked for a password here")
		}
	}
	return User{}, nil
}

func (localAuth) Challenge() string { return "" }

// isLoopback reports whether a name, without a port, means this machine itself.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
