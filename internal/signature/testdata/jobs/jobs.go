// Package jobs has a kind of every shape.
package jobs

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/ebbjobs/ebb"
)

type Welcome struct {
	UserID int64
	Locale string   `ebb:"optional"`
	Extras []string `ebb:"rest"`
	hidden int      `ebb:"-"`
}

type Address struct {
	Street string `json:"street"`
	Zip    *int   `json:"zip,omitempty"`
}

type Shapes struct {
	OrderIDs []int
	At       time.Time
	Every    time.Duration
	Raw      json.RawMessage
	Data     []byte
	Price    float64
	Host     netip.Addr
	Home     Address
	Names    map[string]Address
	Any      any
	Tree     Tree
	End      bool
}

type Tree struct {
	Leaf int
	Next []*Tree `json:"next"`
}

type Money struct{ cents int }

func (m Money) MarshalJSON() ([]byte, error) { return json.Marshal(m.cents) }

type Page[T any] struct{ Items []T }

const reports = "reports"

var (
	SendWelcome = ebb.Define[Welcome]("WelcomeJob", ebb.Queue("mailers"), ebb.Retry(5))
	AllShapes   = ebb.Define[Shapes]("Jobs::Shapes", ebb.Queue(reports), ebb.NoRetry())
	Move        = ebb.Define[Address]("MoveJob", ebb.AsObject())
	Labels      = ebb.Define[map[string]string]("LabelJob", ebb.AsObject())
	Tick        = ebb.Define[struct{}]("TickJob")
	Count       = ebb.Define[int]("CountJob")
	When        = ebb.Define[time.Time]("WhenJob")
	Pay         = ebb.Define[Money]("PayJob")
	Paged       = ebb.Define[Page[int]]("PageJob")
)
