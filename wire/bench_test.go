package wire

import (
	"testing"
	"time"
)

// usual is a payload of some 315 bytes, as a web application makes it.
func usual() New {
	return New{
		Kind: "Billing::ChargeCustomerJob", JID: "01a2b3c4d5e6f708192a3b4c", Queue: "critical",
		Args:  []byte(`[9007199254740993,"eur",1250,{"order":"f47ac10b-58cc-4372-a567-0e02b2c3d479","locale":"nl","notify":true}]`),
		Retry: RetryTimes(10), CreatedAt: at(1795289561, 689788e3), EnqueuedAt: at(1795289561, 690001e3),
		Extra: []Field{{"cattr", []byte(`{"user_id":71234}`)}, {"locale", []byte(`"nl"`)}},
	}
}

// The hot path's price in allocations is held by a test, its time is not.
func TestAllocations(t *testing.T) {
	n := usual()
	dst := make([]byte, 0, 1024)
	payload := n.Append(nil)
	j := parse(t, string(payload))
	now := at(1795289592, 0)
	var history History
	history.Add(Event{At: now, What: "rescued"})
	for _, tt := range []struct {
		name string
		most float64
		run  func()
	}{
		{"Append", 0, func() { dst = n.Append(dst[:0]) }},
		{"Parse", 1, func() { _, _ = Parse(payload) }},
		{"QueueOf", 0, func() { _, _ = QueueOf(payload) }},
		{"Stamp", 1, func() { _ = Stamp(payload, "low", now) }},
		{"WithHistory", 6, func() { _ = j.WithHistory(history) }},
		{"NewJID", 1, func() { _ = NewJID(now) }},
	} {
		if got := testing.AllocsPerRun(100, tt.run); got > tt.most {
			t.Errorf("%s makes %v allocations, want at most %v", tt.name, got, tt.most)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	n := usual()
	ordinary := n.Append(nil)
	n.History = fullHistory()
	remembered := n.Append(nil)
	for _, bb := range []struct {
		name    string
		payload []byte
	}{{"ordinary", ordinary}, {"history", remembered}, {"failed", payloadFile(b, "v6-retried")}} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(bb.payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	n := usual()
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = n.Append(dst[:0])
	}
}

func BenchmarkStamp(b *testing.B) {
	n := usual()
	payload := n.Append(nil)
	now := at(1795289592, 0)
	b.ReportAllocs()
	for b.Loop() {
		Stamp(payload, "critical", now)
	}
}

func BenchmarkFailed(b *testing.B) {
	n := usual()
	n.Backtrace = -1
	payload := n.Append(nil)
	j := parse(b, string(payload))
	failure := Failure{Class: "*url.Error", Message: "dial tcp: connection refused", At: at(1795289592, 0), Queue: "critical"}
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			j.Failed(failure)
		}
	})
	for range 30 {
		failure.Backtrace = append(failure.Backtrace, "github.com/acme/shop/internal/billing/charge.go:117 billing.(*Charger).Charge")
	}
	b.Run("backtrace", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			j.Failed(failure)
		}
	})
}

func BenchmarkNewJID(b *testing.B) {
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		NewJID(now)
	}
}
