package storetest_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/store/memstore"
	"github.com/ebbjobs/ebb/store/storetest"
)

var errBroken = errors.New("broken")

func setup(t *testing.T) (*storetest.Flaky, func() (waiting int64)) {
	t.Helper()
	st := memstore.New(memstore.Options{})
	return storetest.NewFlaky(st), func() int64 {
		t.Helper()
		stats, err := st.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stats.Ready
	}
}

func push(ctx context.Context, f *storetest.Flaky) error {
	_, err := f.Push(ctx, store.Call{}, store.Item{JID: "a", Queue: "q", Payload: []byte("{}")})
	return err
}

func TestFlakyFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		when storetest.When
		want int64 // jobs in the queue after the call that failed
	}{
		{"before the edge", storetest.Before, 0},
		{"after it, with the reply lost", storetest.After, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, waiting := setup(t)
			f.Fail("Push", c.when, errBroken, 1)
			if err := push(t.Context(), f); !errors.Is(err, errBroken) {
				t.Errorf("got %v", err)
			}
			if n := waiting(); n != c.want {
				t.Errorf("%d jobs in the queue, want %d", n, c.want)
			}
			if err := push(t.Context(), f); err != nil {
				t.Errorf("the next call: %v", err)
			}
			if n := f.Calls("Push"); n != 2 {
				t.Errorf("%d calls counted, want 2", n)
			}
		})
	}
}

// Every method can fail, and returns nothing when it does.
func TestFlakyFailsEverywhere(t *testing.T) {
	t.Parallel()
	for m := range reflect.TypeFor[store.Store]().Methods() {
		if m.Name == "Describe" || m.Name == "Close" {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			f, _ := setup(t)
			f.Fail(m.Name, storetest.Before, errBroken, 1)
			fn := reflect.ValueOf(f).MethodByName(m.Name)
			var in []reflect.Value
			for param := range fn.Type().Ins() {
				in = append(in, reflect.Zero(param))
			}
			in[0] = reflect.ValueOf(t.Context())
			var out []reflect.Value
			if fn.Type().IsVariadic() {
				out = fn.CallSlice(in)
			} else {
				out = fn.Call(in)
			}
			last := out[len(out)-1]
			if last.Kind() == reflect.Func { // a walk: one element, the error
				n := 0
				for v, err := range last.Seq2() {
					if n++; !v.IsZero() || !errors.Is(err.Interface().(error), errBroken) {
						t.Errorf("element %v with error %v", v, err)
					}
				}
				if n != 1 {
					t.Errorf("%d elements, want 1", n)
				}
				return
			}
			if err, _ := last.Interface().(error); !errors.Is(err, errBroken) {
				t.Errorf("got error %v", err)
			}
			for _, v := range out[:len(out)-1] {
				if !v.IsZero() {
					t.Errorf("got %v beside the error", v)
				}
			}
		})
	}
}

func TestFlakyEachAndHeal(t *testing.T) {
	t.Parallel()
	f, waiting := setup(t)
	f.Each(func(method string) storetest.Fault {
		if method == "Push" {
			return storetest.Fault{Err: errBroken}
		}
		return storetest.Fault{}
	})
	f.Next("Push", storetest.Fault{}) // comes first
	if err := push(t.Context(), f); err != nil {
		t.Error(err)
	}
	if err := push(t.Context(), f); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	f.Fail("Push", storetest.Before, errBroken, 5)
	f.Heal()
	if err := push(t.Context(), f); err != nil {
		t.Error(err)
	}
	if n := waiting(); n != 2 {
		t.Errorf("%d jobs in the queue, want 2", n)
	}
}

func TestFlakyHoldsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, waiting := setup(t)
		began := time.Now()
		f.Next("Push", storetest.Fault{Delay: time.Minute})
		if err := push(t.Context(), f); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %v", took)
		}

		release := f.Block("Push")
		done := make(chan error)
		go func() { done <- push(t.Context(), f) }()
		synctest.Wait()
		if n := waiting(); n != 1 {
			t.Errorf("%d jobs in the queue before the release, want 1", n)
		}
		release()
		release()
		if err := <-done; err != nil {
			t.Error(err)
		}

		f.Block("Push")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := push(ctx, f); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v after the end of the context", err)
		}
	})
}

func TestFlakyKnowsItsMethods(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a wrong name went unnoticed")
		}
	}()
	f, _ := setup(t)
	f.Fail("Akc", storetest.Before, errBroken, 1)
}
