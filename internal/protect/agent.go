package protect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// agent is the container agent's endpoint (Amazon ECS Developer Guide, task scale-in
// protection endpoint).
type agent struct {
	url    string
	client *http.Client
}

func newAgent(uri string) agent {
	return agent{
		url: strings.TrimSuffix(uri, "/") + "/task-protection/v1/state",
		// No proxy is asked: the address is of this machine.
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience},
	}
}

const maxAnswer = 64 << 10

type wish struct {
	ProtectionEnabled bool
	ExpiresInMinutes  int `json:",omitzero"`
}

// answer has one of three shapes: what is so now, a task that cannot be protected, or
// a call that failed.
type answer struct {
	Protection *struct{ ProtectionEnabled bool } `json:"protection"`
	Failure    *struct{ Reason, Detail string }  `json:"failure"`
	Error      *struct{ Code, Message string }   `json:"error"`
}

// put asks for protection or gives it back; nil says that it is so.
func (a agent) put(ctx context.Context, on bool) error {
	w := wish{ProtectionEnabled: on}
	if on {
		w.ExpiresInMinutes = int(life.Minutes())
	}
	body, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("protect: encode request: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, a.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("protect: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(r)
	if err != nil {
		return fmt.Errorf("protect: ask the container agent: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("protect: read answer: %w", err)
	}
	if err := judge(response.Status, text, on); err != nil {
		return fmt.Errorf("protect: the container agent: %w", err)
	}
	return nil
}

// judge says why an answer does not grant what was asked for.
func judge(status string, text []byte, on bool) error {
	var a answer
	err := json.Unmarshal(text, &a)
	switch {
	case a.Error != nil && a.Error.Code == "AccessDeniedException":
		return fmt.Errorf("%s: the task's role needs ecs:UpdateTaskProtection: %s", a.Error.Code, a.Error.Message)
	case a.Error != nil:
		return fmt.Errorf("%s: %s", a.Error.Code, a.Error.Message)
	case a.Failure != nil:
		return fmt.Errorf("%s: %s", a.Failure.Reason, cmp.Or(a.Failure.Detail, "no further word"))
	case err != nil || a.Protection == nil:
		return fmt.Errorf("%s, and not the JSON that is expected", status)
	case a.Protection.ProtectionEnabled != on:
		return errors.New("answered that nothing has changed")
	}
	return nil
}

// jitter keeps tasks that failed together from asking together again.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }
