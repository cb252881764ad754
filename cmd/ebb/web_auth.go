package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/web"
)

// who makes of --auth and --roles who asks and what they may do.
func (f *webFlags) who() (web.Auth, func(web.User) web.Role, error) {
	how, rest, _ := strings.Cut(f.auth, ":")
	if f.roles != "" && how != "proxy" {
		return nil, nil, fmt.Errorf("--roles is for --auth proxy:HEADER,CIDR; with others the file of --auth has the roles")
	}
	switch how {
	case "":
		return nil, nil, nil
	case "none":
		if len(f.hosts) == 0 { // or a page of somebody else's, whose name was turned here, could ask
			return nil, nil, store.WithHint(fmt.Errorf("--auth none needs the names under which the pages are asked for"), "add --host NAME")
		}
		return web.Anybody(), nil, nil
	case "proxy":
		header, list, _ := strings.Cut(rest, ",")
		proxies, err := networks(strings.Split(list, ","))
		if err != nil || header == "" {
			return nil, nil, store.WithHint(fmt.Errorf("--auth %s: want proxy:HEADER,CIDR", f.auth), "such as proxy:X-Forwarded-User,10.0.0.0/8")
		}
		if f.roles == "" {
			return web.ProxyHeader(header, proxies...), nil, nil
		}
		all, err := readRoster(f.roles, false)
		return web.ProxyHeader(header, proxies...), all.role, err
	case "basic", "bearer":
		all, err := readRoster(rest, true)
		if how == "basic" {
			return web.BasicFunc(all.knows), all.role, err
		}
		return web.BearerFunc(all.whose), all.role, err
	}
	return nil, nil, store.WithHint(fmt.Errorf("--auth %s: there is no such way", f.auth), "it is basic:FILE, bearer:FILE, proxy:HEADER,CIDR or none")
}

func networks(texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		n, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is not a network such as 10.0.0.0/8", text)
		}
		all = append(all, n)
	}
	return all, nil
}

// roster is who a file names, in its order.
type roster []person

type person struct {
	name   string
	role   web.Role
	secret [sha256.Size]byte // of what they know, hashed
}

// readRoster reads NAME:ROLE:SECRET a line, or NAME:ROLE of whom others ask. A file of
// secrets that others on the machine can read is refused.
func readRoster(file string, secrets bool) (all roster, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if secrets && runtime.GOOS != "windows" && info.Mode().Perm()&0o027 != 0 {
		return nil, store.WithHint(fmt.Errorf("%s: others can read or change it (%v)", file, info.Mode().Perm()&fs.ModePerm), "chmod 600 %s", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p, err := parsePerson(line, secrets)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s names nobody", file)
	}
	return all, lines.Err()
}

// parsePerson never tells the secret in an error.
func parsePerson(line string, secrets bool) (p person, err error) {
	name, rest, _ := strings.Cut(line, ":")
	role, secret, _ := strings.Cut(rest, ":")
	p.name = name
	for _, r := range []web.Role{web.Viewer, web.Operator, web.Admin} {
		if role == r.String() {
			p.role = r
		}
	}
	switch sum, hashed := strings.CutPrefix(secret, "sha256:"); {
	case name == "" || p.role == web.Nobody:
		return p, fmt.Errorf("want a name, a colon, and viewer, operator or admin")
	case !secrets && secret != "":
		return p, fmt.Errorf("want no secret here: the proxy asks for it")
	case secrets && secret == "":
		return p, fmt.Errorf("want a secret behind the role")
	case hashed:
		raw, err := hex.DecodeString(sum)
		if err != nil || len(raw) != len(p.secret) {
			return p, fmt.Errorf("want 64 hex digits behind sha256:")
		}
		copy(p.secret[:], raw)
	default:
		p.secret = sha256.Sum256([]byte(secret))
	}
	return p, nil
}

// knows reports whether a password is that of name. It looks at all people, so that
// how long it takes does not tell who there is.
func (all roster) knows(_ context.Context, name, password string) (ok bool) {
	n, sum := sha256.Sum256([]byte(name)), sha256.Sum256([]byte(password))
	for _, p := range all {
		called := sha256.Sum256([]byte(p.name))
		ok = subtle.ConstantTimeCompare(called[:], n[:])&subtle.ConstantTimeCompare(p.secret[:], sum[:]) == 1 || ok
	}
	return ok
}

// whose returns who has a token.
func (all roster) whose(_ context.Context, token string) (name string, ok bool) {
	sum := sha256.Sum256([]byte(token))
	for _, p := range all {
		if subtle.ConstantTimeCompare(p.secret[:], sum[:]) == 1 {
			name, ok = p.name, true
		}
	}
	return name, ok
}

// role is what a user may do: the first line that names them counts, and * names
// everybody.
func (all roster) role(u web.User) web.Role {
	for _, p := range all {
		if p.name == u.Name || p.name == "*" {
			return p.role
		}
	}
	return web.Nobody
}
