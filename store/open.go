package store

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Opener makes a store from a URL whose scheme it registered for.
type Opener func(ctx context.Context, url string) (Store, error)

var (
	openersMu sync.RWMutex
	openers   = map[string]Opener{}
)

// known says which import brings a scheme, for the error that names it.
var known = map[string]string{
	"sqlite": "sqlitestore", "mem": "memstore",
	"redis": "redisstore", "rediss": "redisstore", "unix": "redisstore", "redis-sentinel": "redisstore", "rediss-sentinel": "redisstore",
}

// Register makes a driver available for a URL scheme. Drivers call it when they
// are imported. It panics if the scheme is taken.
func Register(scheme string, open Opener) {
	openersMu.Lock()
	defer openersMu.Unlock()
	if _, taken := openers[scheme]; taken {
		panic("store: scheme " + scheme + " registered twice")
	}
	openers[scheme] = open
}

// Open opens the store that rawURL names. The driver of its scheme must have been
// imported; the error of one that was not names the import.
func Open(ctx context.Context, rawURL string) (Store, error) {
	scheme, _, found := strings.Cut(rawURL, ":")
	scheme = strings.ToLower(scheme)
	openersMu.RLock()
	open, ok := openers[scheme]
	have := make([]string, 0, len(openers))
	for s := range openers {
		have = append(have, s)
	}
	openersMu.RUnlock()
	if ok && found {
		return open(ctx, rawURL)
	}
	if pkg, ok := known[scheme]; ok && found {
		return nil, WithHint(fmt.Errorf("store: the driver for %s: is not linked in", scheme),
			`add the import _ "github.com/ebbjobs/ebb/store/%s"`, pkg)
	}
	slices.Sort(have)
	err := fmt.Errorf("store: %q names no store", Redact(rawURL))
	if len(have) == 0 {
		return nil, WithHint(err, `import a driver, such as _ "github.com/ebbjobs/ebb/store/sqlitestore"`)
	}
	return nil, WithHint(err, "write it as sqlite:ebb.db or redis://localhost:6379/0; linked in: %s", strings.Join(have, ", "))
}

// To the last @: a password may have been pasted unescaped, with / ? # or @ in it.
var userinfo = regexp.MustCompile(`//\S*@`)
var secretParam = regexp.MustCompile(`(?i)([?&][^=&]*(?:password|passwd|secret|token|key)[^=&]*=)[^&#\s]*`)

// Redact masks the credentials in a URL, even in one that does not parse, so that
// it can be printed.
func Redact(rawURL string) string {
	masked := userinfo.ReplaceAllStringFunc(rawURL, func(s string) string {
		user, _, hasPassword := strings.Cut(strings.TrimSuffix(s[2:], "@"), ":")
		if !hasPassword {
			return "//***@" // a lone user may be a token
		}
		if name, err := url.PathUnescape(user); err != nil || name == "" || strings.ContainsAny(name, "/?#@") {
			return "//***:***@"
		}
		return "//" + user + ":***@"
	})
	return secretParam.ReplaceAllString(masked, "${1}***")
}
