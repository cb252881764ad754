package redisstore

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ebbjobs/ebb/internal/redistest"
)

// oldest is the first version of Redis that ebb works with.
const oldest = "6.2.0"

// since is every command that ebb sends, with the version that brought it, or the
// youngest of the options that ebb uses with it.
var since = map[string]string{
	"BITFIELD": "3.2.0", "BLMOVE": "6.2.0", "CLIENT|ID": "5.0.0", "CLIENT|TRACKING": "6.0.0", "CLIENT|UNBLOCK": "5.0.0", "CONFIG|GET": "2.0.0", "DEL": "1.0.0",
	"EVAL": "2.6.0", "EVALSHA": "2.6.0", "EXISTS": "1.0.0", "EXPIRE": "1.0.0", "GET": "1.0.0", "HDEL": "2.4.0",
	"HEXISTS": "2.0.0", "HGET": "2.0.0", "HGETALL": "2.0.0", "HINCRBY": "2.0.0", "HKEYS": "2.0.0", "HLEN": "2.0.0",
	"HMGET": "2.0.0", "HSET": "4.0.0", "INCRBY": "1.0.0", "INFO": "1.0.0", "LINDEX": "1.0.0", "LLEN": "1.0.0",
	"LMOVE": "6.2.0", "LPOP": "1.0.0", "LPOS": "6.0.6", "LPUSH": "2.4.0", "LRANGE": "1.0.0", "LREM": "1.0.0", "LSET": "1.0.0", "LTRIM": "1.0.0", "MEMORY|USAGE": "4.0.0", "MULTI": "1.2.0", "EXEC": "1.2.0", "PEXPIREAT": "2.6.0", "PTTL": "2.6.0",
	"PERSIST": "2.2.0", "PEXPIRE": "2.6.0", "PUBLISH": "2.0.0", "PUBSUB|NUMSUB": "2.8.0", "RENAME": "1.0.0", "RPOP": "6.2.0", "RPUSH": "2.4.0", "SADD": "2.4.0", "SCAN": "6.0.0", "SCARD": "1.0.0", "SET": "2.6.12",
	"SISMEMBER": "1.0.0", "SMEMBERS": "1.0.0", "SREM": "2.4.0", "SUBSCRIBE": "2.0.0", "TIME": "2.6.0", "TYPE": "1.0.0", "UNLINK": "4.0.0", "WAIT": "3.0.0", "ZADD": "6.2.0",
	"ZCARD": "1.2.0", "ZCOUNT": "2.0.0", "ZRANGE": "1.2.0", "ZRANGEBYLEX": "2.8.9", "ZRANGEBYSCORE": "1.0.5", "ZREM": "2.4.0", "ZREMRANGEBYLEX": "2.8.9", "ZREMRANGEBYRANK": "2.0.0",
	"ZREMRANGEBYSCORE": "1.2.0", "ZREVRANGE": "1.2.0", "ZRANK": "2.0.0", "ZREVRANK": "2.0.0", "ZSCORE": "1.2.0",
}

// subcommands are those whose first word alone says little.
var subcommands = map[string]string{"MEMORY": "MEMORY|USAGE", "CONFIG": "CONFIG|GET", "CLIENTID": "CLIENT|ID", "CLIENTTRACKING": "CLIENT|TRACKING", "CLIENTUNBLOCK": "CLIENT|UNBLOCK", "PUBSUB": "PUBSUB|NUMSUB"}

var (
	called    = regexp.MustCompile(`redis\.p?call\(([^\n]*)`)
	commanded = regexp.MustCompile(`'([A-Z]+)'`)

	// command("GET", …), request{args: []string{"TIME"}} and B().Blmove()
	inGo = regexp.MustCompile(`\bcommand\("([A-Z]+)"|\bargs: \[\]string\{"([A-Z]+)"|\bB\(\)\.([A-Z]\w+)\(`)
)

// sent is every command in the package's scripts and Go files.
func sent(t *testing.T) map[string]bool {
	t.Helper()
	commands := map[string]bool{"EVAL": true, "EVALSHA": true}
	for _, source := range scriptSources(t) {
		for _, call := range called.FindAllStringSubmatch(source, -1) {
			found := commanded.FindAllStringSubmatch(strings.SplitN(call[1], ",", 2)[0], -1)
			if len(found) == 0 {
				t.Errorf("no command in %s", call[0])
			}
			for _, name := range found {
				commands[name[1]] = true
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inGo.FindAllStringSubmatch(string(source), -1) {
			commands[strings.ToUpper(m[1]+m[2]+m[3])] = true
		}
	}
	return commands
}

func scriptSources(t *testing.T) map[string]string {
	t.Helper()
	files, err := sources.ReadDir("scripts")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		source, err := sources.ReadFile("scripts/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(source)
	}
	return all
}

func TestCommandsAreOldEnough(t *testing.T) {
	t.Parallel()
	for name := range sent(t) {
		name = cmp.Or(subcommands[name], name)
		if _, known := since[name]; !known && name != "ARBITRARY" {
			t.Errorf("%s is sent, and the table does not say since when it exists", name)
		}
	}
	server, err := Open(t.Context(), redistest.Start(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, version := range since {
		if newer(version, oldest) {
			t.Errorf("%s came with %s; %s lacks it", name, version, oldest)
		}
		reply, err := server.one(t.Context(), &request{args: []string{"COMMAND", "DOCS", name}})
		if err != nil {
			t.Fatal(err)
		}
		docs, _ := reply.AsMap()
		doc := docs[strings.ToLower(name)]
		fields, err := doc.AsMap()
		if err != nil {
			t.Errorf("the server does not know %s", name)
			continue
		}
		text := fields["since"]
		if came, _ := text.ToString(); newer(came, version) {
			t.Errorf("%s came with %s, not %s", name, came, version)
		}
	}
}

func newer(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x > y
		}
	}
	return false
}

// keyed is how a script may name a key: by its number, or by a name that was given
// to such a one.
var keyed = regexp.MustCompile(`^(unpack\()?(KEYS\[|KEYS,|held\(|books\b|queue\(|inbox\(|sets?\b|names\b|known\b|strays\b|work\b|key\b|today\b|list\b|undo\b|reserved\b)`)

func TestScriptsTouchOnlyTheirKeys(t *testing.T) {
	t.Parallel()
	for name, source := range scriptSources(t) {
		for _, call := range called.FindAllStringSubmatch(source, -1) {
			command, rest, found := strings.Cut(call[1], ", ")
			if strings.HasPrefix(command, "'TIME'") || strings.HasPrefix(command, "'PUBSUB'") || found && keyed.MatchString(rest) {
				continue
			}
			t.Errorf("%s: a key that was not declared, or a new name for one: %s", name, call[0])
		}
	}
}

func TestScriptsSayWhatTheyDo(t *testing.T) {
	t.Parallel()
	for name, source := range scriptSources(t) {
		head, _, _ := strings.Cut(source, "\nlocal ")
		for _, word := range []string{"KEYS", "gives"} {
			if !strings.Contains(head, word) && !strings.Contains(source, "-- Prelude") {
				t.Errorf("%s does not open with its keys, arguments and result: %q is missing", name, word)
			}
		}
		if strings.Contains(source, "cjson") || strings.HasPrefix(source, "#!") {
			t.Errorf("%s reads JSON, or has a shebang and would be refused when memory is short", name)
		}
	}
}
