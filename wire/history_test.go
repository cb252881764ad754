package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHistoryIsSplicedIn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, payload string
		history       History
		want          string
	}{
		{"new", `{"class":"A","args":[1e400] }`, History{Interruptions: 1}, `{"class":"A","args":[1e400],"ebb":{"n":1} }`},
		{"again", `{"ebb":{"n":1},"class":"A","args":[]}`, History{Interruptions: 2}, `{"ebb":{"n":2},"class":"A","args":[]}`},
		{"removed", `{"ebb":{"n":1},"class":"A","args":[]}`, History{}, `{"class":"A","args":[]}`},
		{"nothing to remove", `{"class":"A","args":[]}`, History{}, `{"class":"A","args":[]}`},
		{"somebody else's stays", `{"class":"A","args":[],"ebb":"theirs"}`, History{}, `{"class":"A","args":[],"ebb":"theirs"}`},
		{"somebody else's is replaced", `{"class":"A","args":[],"ebb":"theirs"}`, History{Snoozes: 1}, `{"class":"A","args":[],"ebb":{"z":1}}`},
		{"checkpoint verbatim", `{"class":"A","args":[]}`, History{Checkpoint: []byte(`{ "id": 9007199254740993 }`)},
			`{"class":"A","args":[],"ebb":{"cp":{ "id": 9007199254740993 }}}`},
		{"checkpoint that is no JSON", `{"class":"A","args":[]}`, History{Checkpoint: []byte(`{`), Snoozes: 1}, `{"class":"A","args":[],"ebb":{"z":1}}`},
		{"a suspect", `{"class":"A","args":[]}`, History{Suspect: true, Settled: true, Events: []Event{{What: "rescued", Alone: true}, {What: "resumed"}}},
			`{"class":"A","args":[],"ebb":{"log":[{"w":"rescued","a":true},{"w":"resumed"}],"s":true,"sd":true}}`},
		{"progress of nothing yet", `{"class":"A","args":[]}`, History{Progress: &Progress{}}, `{"class":"A","args":[],"ebb":{"pr":{}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, string(parse(t, tt.payload).WithHistory(tt.history))); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHistoryReadsWhatItCan(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, value string
		want        History
	}{
		{"empty", `{}`, History{}},
		{"wrong types", `{"n":"2","x":-1,"log":{},"pr":[],"to":"1","exp":"x","z":null,"hide":1,"s":"true","sd":1}`, History{}},
		{"one wrong type among others", `{"n":2,"x":[],"z":1}`, History{Interruptions: 2, Snoozes: 1}},
		{"events of mixed types", `{"log":[1,{"t":1795289720.5,"w":"resumed","new":1},null]}`,
			History{Events: []Event{{At: at(1795289720, 5e8), What: "resumed", Extra: []Field{{"new", []byte(`1`)}}}}}},
		{"a suspect", `{"s":true,"sd":true,"log":[{"w":"rescued","a":true},{"w":"rescued","a":1}]}`,
			History{Suspect: true, Settled: true, Events: []Event{{What: "rescued", Alone: true}, {What: "rescued"}}}},
		{"no suspect", `{"s":false,"log":[{"a":false}]}`, History{Events: []Event{{}}}},
		{"a checkpoint of null", `{"cp":null}`, History{Checkpoint: []byte(`null`)}},
		{"a newer ebb's fields", `{"n":1,"lane":{"a": 1}}`, History{Interruptions: 1, Extra: []Field{{"lane", []byte(`{"a": 1}`)}}}},
		{"null", `null`, History{}},
		{"a string", `"{}"`, History{}},
		{"an array", `[{"n":1}]`, History{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := parse(t, `{"class":"A","args":[],"ebb":`+tt.value+`}`).History
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHistoryAddKeepsTheFirstAndTheLast(t *testing.T) {
	t.Parallel()
	var h History
	for i := range 50 {
		h.Add(Event{What: fmt.Sprint(i)})
	}
	if len(h.Events) != maxEvents || h.Events[0].What != "0" || h.Events[1].What != "31" || h.Events[19].What != "49" {
		t.Errorf("events are %v", h.Events)
	}

	long := History{Events: make([]Event, 1000)}
	long.Events[0].What = "first"
	long.Add(Event{What: "last", Note: strings.Repeat("é", 1000)})
	if len(long.Events) != maxEvents || long.Events[0].What != "first" || long.Events[19].What != "last" {
		t.Errorf("of a log that was too long %d events are kept", len(long.Events))
	}
	if got := long.Events[19].Note; got != strings.Repeat("é", maxNote) {
		t.Errorf("note has %d bytes", len(got))
	}
}

func TestHistoryAddLeavesCopiesAlone(t *testing.T) {
	t.Parallel()
	var base History
	base.Add(Event{What: "a"})
	left, right := base, base
	left.Add(Event{What: "b"})
	right.Add(Event{What: "c"})
	if left.Events[1].What != "b" || right.Events[1].What != "c" || len(base.Events) != 1 {
		t.Errorf("events are %v, %v, %v", base.Events, left.Events, right.Events)
	}
}

// IsZero is written by hand, so a field that is added must be added there too.
func TestHistoryIsZero(t *testing.T) {
	t.Parallel()
	if !(History{}).IsZero() {
		t.Error("the zero history is not zero")
	}
	full := fullHistory()
	for _, field := range reflect.VisibleFields(reflect.TypeFor[History]()) {
		var h History
		value := reflect.ValueOf(full).FieldByIndex(field.Index)
		if value.IsZero() {
			t.Fatalf("fullHistory has no %s", field.Name)
		}
		reflect.ValueOf(&h).Elem().FieldByIndex(field.Index).Set(value)
		if h.IsZero() {
			t.Errorf("a history with only %s is zero", field.Name)
		}
	}
}

func fullHistory() History {
	return History{
		Interruptions: 3, Crashes: 1, Snoozes: 2, NoArgs: true, Suspect: true, Settled: true, Timeout: 90 * time.Second, Expires: at(1795289592, 1e3),
		Events: []Event{{At: at(1795289592, 0), What: "rescued", Cause: "oom", By: "vm:1:ab", Note: "\"\n", Alone: true,
			Extra: []Field{{"lane", []byte(`[7]`)}}}},
		Checkpoint: []byte(`[1, 2]`), Progress: &Progress{Done: 1 << 40, Total: 1 << 41, Note: "é"},
		Extra: []Field{{"lane", []byte(`7`)}},
	}
}

func TestHistoryThroughEncodingJSON(t *testing.T) {
	t.Parallel()
	want := fullHistory()
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got History
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	got.Checkpoint = []byte(strings.Replace(string(got.Checkpoint), ",", ", ", 1)) // encoding/json compacts
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`[]`), &got); err == nil {
		t.Error("an array was read as a history")
	}
}
