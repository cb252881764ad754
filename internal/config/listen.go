package config

import (
	"fmt"
	"net"
	"strconv"
)

// ListenAddress is what to listen on, or "" for nothing. A port alone is one of
// loopback: who else may ask is for somebody to say.
func (s *Settings) ListenAddress() (string, error) {
	text := s.Listen
	switch text {
	case "", "none":
		return "", nil
	}
	if _, err := strconv.Atoi(text); err == nil {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", fmt.Errorf("want a port, an address with a port, or none, got %q", s.Listen)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
