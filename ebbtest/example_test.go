package ebbtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/ebbjobs/ebb"
	"github.com/ebbjobs/ebb/ebbtest"
)

// t stands for the *testing.T of a test in the examples.
var t = &standIn{}

type standIn struct {
	testing.TB
	cleanups []func()
}

func (s *standIn) Helper()                           {}
func (s *standIn) Context() context.Context          { return context.Background() }
func (s *standIn) Output() io.Writer                 { return io.Discard }
func (s *standIn) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }
func (s *standIn) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (s *standIn) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (s *standIn) end() {
	for _, f := range s.cleanups {
		f()
	}
}

type Welcome struct {
	UserID int64
	Locale string `ebb:"optional"`
}

var SendWelcome = ebb.Define[Welcome]("WelcomeJob", ebb.Queue("mailers"))

// signUp is the code under test: it enqueues.
func signUp(ctx context.Context, client *ebb.Client, id int64) error {
	_, err := SendWelcome.Enqueue(ctx, client, Welcome{UserID: id})
	return err
}

// register is what the program's main calls as well.
func register(p *ebb.Process) {
	SendWelcome.Handle(p, func(_ context.Context, w Welcome) error {
		if w.UserID == 13 {
			return errors.New("no such user")
		}
		fmt.Println("welcome,", w.UserID)
		return nil
	})
}

func ExampleFake() {
	client, rec := ebbtest.Fake(t)
	if err := signUp(t.Context(), client, 42); err != nil {
		t.Fatalf("sign up: %v", err)
	}
	for _, args := range ebbtest.Enqueued(rec, SendWelcome) {
		fmt.Println("enqueued for", args.UserID)
	}
	// Output:
	// enqueued for 42
}

func ExampleInline() {
	config := ebb.Config{Queues: []string{"mailers"}}
	client := ebbtest.Inline(t, config, register)
	fmt.Println(signUp(t.Context(), client, 42) == nil)
	fmt.Println(signUp(t.Context(), client, 13) == nil)
	// Output:
	// welcome, 42
	// true
	// false
}

func ExampleRecorder_Drain() {
	client, rec := ebbtest.Fake(t)
	for id := range int64(3) {
		if err := signUp(t.Context(), client, id); err != nil {
			t.Fatalf("sign up: %v", err)
		}
	}
	config := ebb.Config{Queues: []string{"mailers"}, Concurrency: 1}
	n, err := rec.Drain(t.Context(), config, register)
	fmt.Println(n, err)
	// Output:
	// welcome, 0
	// welcome, 1
	// welcome, 2
	// 3 <nil>
}
