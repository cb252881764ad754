package main

import (
	"fmt"

	"github.com/ebbjobs/ebb/internal/config"
	"github.com/ebbjobs/ebb/store"
)

// settings finds the settings, of which in holds what flags of one command say.
func (a *app) settings(in config.Input) (*config.Settings, error) {
	in.Getenv, in.File = a.getenv, a.flags.config
	if a.flags.store != "" {
		in.Flags = append(in.Flags, config.Flag{Key: "store", Name: "--store", Values: []string{a.flags.store}})
	}
	s, err := config.Load(in)
	return s, code(exitUsage, err)
}

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

// writable refuses if somebody has said that nothing is to be changed.
func (a *app) writable() error {
	s, err := a.settings(config.Input{})
	if err != nil || !s.ReadOnly {
		return err
	}
	what := s.Source("readonly")
	if what != "EBB_READONLY" {
		what = "readonly in " + what
	}
	return code(exitRefused, store.WithHint(fmt.Errorf("refused: %s is set, so nothing is changed", what), "unset %s", what))
}
