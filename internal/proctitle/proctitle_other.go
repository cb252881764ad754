//go:build !linux

package proctitle

func find() *memory { return &memory{} }

func moveEnvironment() {}
