package console

import (
	"charm.land/lipgloss/v2"
)

// The sixteen colours of a terminal follow its own theme, so that they can be read
// on any background.
var (
	bold   = lipgloss.NewStyle().Bold(true)
	dim    = lipgloss.NewStyle().Faint(true)
	green  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	yellow = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	red    = lipgloss.NewStyle().Foreground(lipgloss.Red)
	cyan   = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
)

// Bold and the others put text in a style. Nothing is told by colour alone: the
// words say the same.
func Bold(s string) string { return bold.Render(s) }

// Dim is for what may be overlooked.
func Dim(s string) string { return dim.Render(s) }

// Good is for what is as it should be.
func Good(s string) string { return green.Render(s) }

// Warn is for what somebody should look at.
func Warn(s string) string { return yellow.Render(s) }

// Bad is for what is wrong.
func Bad(s string) string { return red.Render(s) }

// Code is for what can be typed.
func Code(s string) string { return cyan.Render(s) }
