package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ebbjobs/ebb/internal/nearest"
)

// most is the largest number that a setting takes: what a process keeps for each slot
// is made when it starts, and more would only fill the memory.
const most = 1_000_000

// Poison is the number of crashes that bury a job, or Never.
type Poison int

// Never is written as "never".
const Never Poison = -1

const mostPoison = 10 // a job remembers no more

// wants says in words what a field takes.
func wants(field any, choices []string) string {
	switch field.(type) {
	case *time.Duration:
		return "a duration such as 30s, 5m or a number of seconds"
	case *int:
		return "a whole number above zero"
	case *Poison:
		return "a whole number from 1 to 10, or never"
	case *bool:
		return "true or false"
	case *[]string:
		return "a list of words"
	}
	if len(choices) > 0 {
		return "one of " + strings.Join(choices, ", ")
	}
	return "a text"
}

// assign reads a text into a field.
func assign(field any, choices []string, text string) error {
	var err error
	switch f := field.(type) {
	case *time.Duration:
		*f, err = parseDuration(text)
	case *int:
		*f, err = strconv.Atoi(text)
		if err == nil && *f <= 0 {
			err = errors.New("not above zero")
		}
		if err == nil && *f > most {
			return fmt.Errorf("%s are more than the %d that can be", text, most)
		}
	case *Poison:
		*f, err = parsePoison(text)
	case *bool:
		*f, err = parseBool(text)
	case *[]string:
		*f = append(*f, text)
	case *string:
		if len(choices) > 0 && !slices.Contains(choices, text) {
			if near := nearest.To(text, choices); near != "" {
				return fmt.Errorf("want %s, got %q: did you mean %s?", wants(field, choices), text, near)
			}
			err = errors.New("no choice")
		}
		*f = text
	}
	if err != nil {
		return fmt.Errorf("want %s, got %q", wants(field, choices), text)
	}
	return nil
}

func parsePoison(text string) (Poison, error) {
	if text == "never" {
		return Never, nil
	}
	n, err := strconv.Atoi(text)
	if err == nil && (n < 1 || n > mostPoison) {
		err = errors.New("not within the bounds")
	}
	return Poison(n), err
}

// parseDuration reads a Go duration or a number of seconds. It must be above zero,
// since zero would stand for the default.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text != "" && unicode.IsDigit(rune(text[len(text)-1])) {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("not above zero")
	}
	return d, err
}

// parseBool takes what people write for yes and no in YAML and in an environment.
func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, strconv.ErrSyntax
}

// format writes a field as assign reads it; the zero value is "".
func format(field any) string {
	switch f := field.(type) {
	case *time.Duration:
		if *f > 0 {
			return formatDuration(*f)
		}
	case *int:
		if *f > 0 {
			return strconv.Itoa(*f)
		}
	case *Poison:
		if *f == Never {
			return "never"
		}
		return strconv.Itoa(int(*f))
	case *bool:
		return strconv.FormatBool(*f)
	case *[]string:
		return strings.Join(*f, " ")
	case *string:
		return *f
	}
	return ""
}

// formatDuration leaves out what is zero at the end: 15m, not 15m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}

// checkName says what is wrong with the name of a queue, a group or a kind.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > 255:
		return fmt.Errorf("the name is %d bytes long, and 255 are allowed", len(name))
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return fmt.Errorf("the name %q has white space or a control character in it", name)
	}
	return nil
}

// Queue is a queue to fetch from.
type Queue struct {
	Name   string
	Weight int // 0: none
}

func (q Queue) String() string {
	if q.Weight == 0 {
		return q.Name
	}
	return q.Name + "," + strconv.Itoa(q.Weight)
}

// parseQueue reads "name" or "name,weight".
func parseQueue(text string) (Queue, error) {
	name, weight, weighted := strings.Cut(text, ",")
	q, err := newQueue(strings.TrimSpace(name))
	if err == nil && weighted {
		q.Weight, err = parseWeight(name, strings.TrimSpace(weight))
	}
	return q, err
}

func newQueue(name string) (Queue, error) {
	if err := checkName(name); err != nil {
		return Queue{}, err
	}
	// A store may build its keys around the name, and on a cluster braces choose the
	// node.
	if strings.ContainsAny(name, "{}") {
		return Queue{}, fmt.Errorf("queue %q has a brace in it", name)
	}
	return Queue{Name: name}, nil
}

func parseWeight(name, text string) (int, error) {
	weight, err := strconv.Atoi(text)
	if err != nil || weight <= 0 {
		return 0, fmt.Errorf("the weight of queue %s must be a whole number above zero, and is %q", name, text)
	}
	return weight, nil
}

func formatQueues(queues []Queue) string {
	words := make([]string, len(queues))
	for i, q := range queues {
		words[i] = q.String()
	}
	return strings.Join(words, " ")
}
