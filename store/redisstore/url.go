package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/store"
)

// config is a URL, read.
type config struct {
	shown string // the URL without its secrets
	layout
	replicas int  // replicas that must have a push before it counts
	few      bool // wait on one connection, not on one for each queue
	option   rueidis.ClientOption
}

const (
	dialWithin  = 3 * time.Second
	replyWithin = 5 * time.Second
)

// examples of right URLs, by scheme.
var examples = map[string]string{
	"redis":           "redis://:password@localhost:6379/0",
	"rediss":          "rediss://user:password@redis.example.com:6380/0",
	"unix":            "unix:///run/redis/redis.sock?db=0",
	"redis-sentinel":  "redis-sentinel://:password@host1:26379,host2:26379/mymaster/0",
	"rediss-sentinel": "rediss-sentinel://:password@host1:26379,host2:26379/mymaster/0",
}

// parse reads a URL. Its errors say what is wrong and show a right one.
func parse(rawURL string) (config, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	scheme = strings.ToLower(scheme)
	c := config{shown: store.Redact(rawURL)}
	if err := c.read(scheme, rest); err != nil {
		return c, store.WithHint(fmt.Errorf("redisstore: URL %s: %w", c.shown, err), "write it as %s", examples[scheme])
	}
	o := &c.option
	o.DisableCache, o.DisableRetry = true, true // only the driver knows what is safe to repeat
	o.PipelineMultiplex = -1
	o.BlockingPipeline = 1 << 30 // one connection for all that does not wait
	o.Dialer.Timeout, o.ConnWriteTimeout = dialWithin, replyWithin
	o.ForceSingleClient = !c.cluster && o.Sentinel.MasterSet == ""
	o.ClientName = "ebb"
	o.ReadBufferEachConn, o.WriteBufferEachConn = 64<<10, 64<<10
	return c, nil
}

func (c *config) read(scheme, rest string) error {
	if !strings.HasPrefix(rest, "//") {
		return errors.New(`"//" is missing after the scheme`)
	}
	// net/url takes no list of hosts, so the sentinels are cut out first.
	hosts := ""
	if strings.HasSuffix(scheme, "-sentinel") {
		authority, path, _ := strings.Cut(rest[2:], "/")
		at := strings.LastIndexByte(authority, '@') + 1
		hosts = authority[at:]
		rest = "//" + authority[:at] + "sentinels/" + path
	}
	u, err := url.Parse(scheme + ":" + rest)
	if err != nil {
		// Its text repeats the URL, which may hold a password.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		if strings.Contains(err.Error(), "port") || strings.Contains(err.Error(), "escape") {
			return errors.New("the address cannot be read: characters such as / @ : % in a password are written as %2F %40 %3A %25")
		}
		return err
	}
	if u.User != nil {
		c.option.Username = u.User.Username()
		c.option.Password, _ = u.User.Password()
	}
	path := strings.Trim(u.Path, "/")
	switch scheme {
	case "unix":
		if u.Host != "" {
			return fmt.Errorf("the path of the socket starts with a third slash, so that %q is no host", u.Host)
		}
		if path == "" {
			return errors.New("the path of the socket is missing")
		}
		c.option.InitAddress, path = []string{u.Path}, ""
		c.option.DialCtxFn = func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}
	case "redis", "rediss":
		addr, err := address(u.Host, "6379")
		if err != nil {
			return err
		}
		c.option.InitAddress = []string{addr}
	default:
		if path, err = c.sentinels(hosts, path); err != nil {
			return err
		}
	}
	if strings.HasPrefix(scheme, "rediss") {
		c.option.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		if scheme != "rediss" {
			c.option.TLSConfig.ServerName = "" // each host has its own
			c.option.Sentinel.TLSConfig = c.option.TLSConfig
		}
	}
	if err := c.database(path); err != nil {
		return err
	}
	return c.parameters(u.Query())
}

// sentinels reads the hosts and the name of what they watch, and returns the rest of
// the path.
func (c *config) sentinels(hosts, path string) (rest string, err error) {
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := address(host, "26379")
		if err != nil {
			return "", err
		}
		c.option.InitAddress = append(c.option.InitAddress, addr)
	}
	name, rest, _ := strings.Cut(path, "/")
	if name == "" {
		return "", errors.New("the name that the sentinels know the primary by is missing")
	}
	c.option.Sentinel.MasterSet = name
	// A missed announcement would otherwise bind us to the old primary for good.
	c.option.Sentinel.TopologyRefreshInterval = 5 * time.Second
	return rest, nil
}

func address(hostport, port string) (string, error) {
	host, given, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	port = cmp.Or(given, port)
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%q is no port", port)
	}
	return net.JoinHostPort(cmp.Or(host, "localhost"), port), nil
}

func (c *config) database(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no number of a database", text)
	}
	c.option.SelectDB = n
	return nil
}

var parameters = []string{"db", "layout", "wait", "connections", "sentinel_user", "sentinel_password"}

func (c *config) parameters(q url.Values) error {
	for name := range q {
		if !slices.Contains(parameters, name) {
			return fmt.Errorf("there is no parameter %q; there are %s", name, strings.Join(parameters, ", "))
		}
	}
	switch layout := q.Get("layout"); layout {
	case "", "sidekiq":
	case "cluster":
		c.cluster = true
	default:
		return fmt.Errorf("there is no layout %q; there are sidekiq and cluster", layout)
	}
	switch connections := q.Get("connections"); connections {
	case "", "many":
	case "few":
		c.few = true
	default:
		return fmt.Errorf("connections may be few or many, not %q", connections)
	}
	if text := q.Get("wait"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fmt.Errorf("wait is a number of replicas, not %q", text)
		}
		c.replicas = n
	}
	c.option.Sentinel.Username, c.option.Sentinel.Password = q.Get("sentinel_user"), q.Get("sentinel_password")
	if err := c.database(q.Get("db")); err != nil {
		return err
	}
	if c.cluster && c.option.SelectDB != 0 {
		return errors.New("a cluster has only database 0")
	}
	return nil
}
