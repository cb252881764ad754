package main

import (
	"github.com/ebbjobs/ebb/internal/config"
)

// storeURL finds the URL of the store.
func (a *app) storeURL() (string, error) {
	s, err := a.settings(config.Input{})
	if err != nil {
		return "", err
	}
	return s.Store, nil
}

// storeSource says where the URL comes from.
func (a *app) storeSource() string {
	s, err := a.settings(config.Input{})
	if err != nil {
		return "settings that are wrong"
	}
	return s.Source("store")
}
