package store

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
)

// Identity names one boot of one process: "hostname:pid:nonce". It is never
// used again. Where an init has started the process and told it so by EBB_BOOT, the
// nonce ends in a dash and that word, which all processes below this init share:
// hostnames and numbers come again in containers, and by this word the init knows
// whom it has lost.
type Identity string

// bootVariable is what an init hands down to its child, new at each start.
const bootVariable = "EBB_BOOT"

// NewIdentity makes the identity of this boot; every call makes another.
func NewIdentity() Identity {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	if dyno := os.Getenv("DYNO"); dyno != "" { // Sidekiq's rule too
		host = dyno
	}
	// The parts are told apart by colons, and keys are built from them.
	host = strings.Map(func(r rune) rune {
		if r == ':' || r == '{' || r == '}' || r <= ' ' || r == 0x7f {
			return '-'
		}
		return r
	}, host)
	var random [6]byte
	rand.Read(random[:])
	// The word alone would be the same for two clients of one process, of whose calls
	// stores would take one's for repeats of the other's.
	nonce := hex.EncodeToString(random[:])
	if boot := os.Getenv(bootVariable); IsBoot(boot) {
		nonce += "-" + boot
	}
	return Identity(host + ":" + strconv.Itoa(os.Getpid()) + ":" + nonce)
}

// IsBoot reports whether a word may stand for one start of a process: 12 to 64 small
// letters and digits. Any other in EBB_BOOT is ignored: a short one could be another's
// as well.
func IsBoot(word string) bool {
	return len(word) >= 12 && len(word) <= 64 && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// Host returns the first part, PID the second; both are for people only.
func (id Identity) Host() string { h, _, _ := strings.Cut(string(id), ":"); return h }

// PID returns the process number, or 0 if id has none.
func (id Identity) PID() int {
	parts := strings.Split(string(id), ":")
	if len(parts) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(parts[1])
	return n
}

// Boot returns the word of the init that started the process, or "" if none did.
func (id Identity) Boot() string {
	nonce := string(id[strings.LastIndexByte(string(id), ':')+1:])
	_, boot, _ := strings.Cut(nonce, "-")
	return boot
}
