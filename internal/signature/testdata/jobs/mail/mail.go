// Package mail has kinds of which something is wrong or not to be told.
package mail

import . "github.com/ebbjobs/ebb"

type Bad struct {
	Name   string `ebb:"optional"`
	Size   int
	secret int
	Kind   string `ebb:"optionl"`
}

func name() string { return "Made" + "Up" }

var options = []Option{Queue("mailers")}

var (
	_ = Define[Bad]("BadJob")
	_ = Define[int](name())
	_ = Define[string]("SpreadJob", options...)
	_ = Define[int]("TwiceJob")
	_ = Define[string]("TwiceJob")
	_ = Define[*Bad]("PointerJob")
	_ = (Define[int])("ParenJob", Queue(name()))
)

func generic[T any]() Job[T] { return Define[T]("GenericJob") }
