package ebb

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type address struct {
	Street string
	Zip    int `json:"zip"`
}

type everything struct {
	ID      int64
	Name    string
	Small   int8
	Count   uint32
	Ratio   float64
	Yes     bool
	Home    address
	Since   time.Time
	Raw     json.RawMessage
	Any     any
	Labels  map[string]string
	Parent  *int64
	private int    `ebb:"-"`
	Skipped string `ebb:"-"`
	Note    string `ebb:"optional"`
	Pages   []int  `ebb:"rest"`
}

// encoded returns the arguments as the wire has them.
func encoded[A any](t *testing.T, job Job[A], a A) string {
	t.Helper()
	raw, err := job.def.codec.encode(reflect.ValueOf(&a).Elem())
	if err != nil {
		t.Fatalf("encode %+v: %v", a, err)
	}
	return string(raw)
}

func TestArgumentsRoundTrip(t *testing.T) {
	t.Parallel()
	job := Define[everything]("Everything")
	full := everything{
		ID: 9007199254740993, Name: `<b>"quoted" & \ ünï` + "\u2028", Small: -128, Count: math.MaxUint32, Ratio: 0.1, Yes: true,
		Home: address{"Elm", 12345}, Since: time.Date(2026, 11, 21, 9, 30, 0, 5, time.UTC),
		Raw: json.RawMessage(`{"a":1}`), Any: map[string]any{"id": json.Number("9007199254740993")},
		Labels: map[string]string{"a": "<"}, Parent: new(int64(7)), Note: "n", Pages: []int{1, 2},
		private: 1, Skipped: "s",
	}
	const want = `[9007199254740993,"<b>\"quoted\" & \\ ünï\u2028",-128,4294967295,0.1,true,{"Street":"Elm","zip":12345},` +
		`"2026-11-21T09:30:00.000000005Z",{"a":1},{"id":9007199254740993},{"a":"<"},7,"n",1,2]`
	got := encoded(t, job, full)
	if got != want {
		t.Errorf("encoded\n %s, want\n %s", got, want)
	}
	back, err := job.Decode(json.RawMessage(got))
	if err != nil {
		t.Fatal(err)
	}
	if back.private != 0 || back.Skipped != "" {
		t.Errorf("fields that stay behind came back as %d, %q", back.private, back.Skipped)
	}
	full.private, full.Skipped = 0, ""
	if diff := cmp.Diff(full, back, cmp.AllowUnexported(everything{})); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestShapesOfArguments(t *testing.T) {
	t.Parallel()
	check := func(name string, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: encoded %s, want %s", name, got, want)
		}
	}
	type welcome struct {
		UserID int64
		Locale string   `ebb:"optional"`
		Tries  int      `ebb:"optional"`
		Extras []string `ebb:"rest"`
	}
	w := Define[welcome]("Welcome")
	check("optional and rest unset", encoded(t, w, welcome{UserID: 1}), `[1]`)
	check("first optional set", encoded(t, w, welcome{UserID: 1, Locale: "de"}), `[1,"de"]`)
	check("second optional set", encoded(t, w, welcome{UserID: 1, Tries: 2}), `[1,"",2]`)
	check("rest set", encoded(t, w, welcome{UserID: 1, Extras: []string{"a"}}), `[1,"",0,"a"]`)
	check("rest empty", encoded(t, w, welcome{UserID: 1, Extras: []string{}}), `[1]`)
	check("a required zero is sent", encoded(t, w, welcome{}), `[0]`)

	check("no arguments", encoded(t, Define[struct{}]("None"), struct{}{}), `[]`)
	check("int", encoded(t, Define[int64]("One"), 42), `[42]`)
	check("string", encoded(t, Define[string]("One"), "a"), `["a"]`)
	check("slice", encoded(t, Define[[]string]("One"), []string{"a", "b"}), `[["a","b"]]`)
	check("map", encoded(t, Define[map[string]int]("One"), map[string]int{"a": 1}), `[{"a":1}]`)
	check("raw", encoded(t, Define[json.RawMessage]("One"), json.RawMessage(`[1]`)), `[[1]]`)
	check("time", encoded(t, Define[time.Time]("One"), time.Unix(0, 0).UTC()), `["1970-01-01T00:00:00Z"]`)
	check("any", encoded(t, Define[any]("One"), any(nil)), `[null]`)
	check("object", encoded(t, Define[address]("One", AsObject()), address{"Elm", 1}), `[{"Street":"Elm","zip":1}]`)
}

func TestDecodeAcceptsWhatRubySends(t *testing.T) {
	t.Parallel()
	type args struct {
		ID   int64
		Note string   `ebb:"optional"`
		Any  any      `ebb:"optional"`
		Rest []*int64 `ebb:"rest"`
	}
	job := Define[args]("Ruby")
	for _, test := range []struct {
		name, in string
		want     args
	}{
		{"spaces", " [ 1 , \"a, [b\" ] ", args{ID: 1, Note: "a, [b"}},
		{"a quote in a string", `[1,"a\",]"]`, args{ID: 1, Note: `a",]`}},
		{"an escape in a string", `[1,"\u00fc"]`, args{ID: 1, Note: "ü"}},
		{"null for an optional", `[1,null]`, args{ID: 1}},
		{"a big number in any", `[1,"",9007199254740993]`, args{ID: 1, Any: json.Number("9007199254740993")}},
		{"null in the rest", `[1,"",null,2,null]`, args{ID: 1, Rest: []*int64{new(int64(2)), nil}}},
		{"minus zero", `[-0]`, args{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := job.Decode(json.RawMessage(test.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := Define[struct{}]("None").Decode(nil); err != nil {
		t.Errorf("no bytes at all: %v", err)
	}
}

func TestArgumentsThatDoNotFit(t *testing.T) {
	t.Parallel()
	type args struct {
		ID    int64
		Home  address
		Level int8    `ebb:"optional"`
		Since *string `ebb:"optional"`
	}
	type tail struct {
		Rest []int `ebb:"rest"`
	}
	positional := func(in string) error { _, err := Define[args]("Fit").Decode(json.RawMessage(in)); return err }
	rest := func(in string) error { _, err := Define[tail]("Fit").Decode(json.RawMessage(in)); return err }
	object := func(in string) error {
		_, err := Define[address]("Fit", AsObject()).Decode(json.RawMessage(in))
		return err
	}
	single := func(in string) error { _, err := Define[int64]("Fit").Decode(json.RawMessage(in)); return err }
	exact := func(in string) error { _, err := Define[json.Number]("Fit").Decode(json.RawMessage(in)); return err }
	addr := func(in string) error { _, err := Define[netip.Addr]("Fit").Decode(json.RawMessage(in)); return err }
	when := func(in string) error { _, err := Define[time.Time]("Fit").Decode(json.RawMessage(in)); return err }
	for _, test := range []struct {
		name   string
		decode func(string) error
		in     string
		want   ArgError
		text   string
	}{
		{"missing", positional, `[1]`, ArgError{Position: 2, Field: "Home", Go: "ebb.address"},
			"ebb: decode Fit: argument 2 (Home ebb.address) is missing"},
		{"none", positional, `[]`, ArgError{Position: 1, Field: "ID", Go: "int64"},
			"ebb: decode Fit: argument 1 (ID int64) is missing"},
		{"surplus", positional, `[1,{},1,"",true]`, ArgError{Position: 5, JSON: "bool"},
			"ebb: decode Fit: argument 5 is one too many: JSON bool"},
		{"string for a number", positional, `["1",{}]`, ArgError{Position: 1, Field: "ID", Go: "int64", JSON: "string"},
			"ebb: decode Fit: argument 1 (ID int64) does not fit: JSON string"},
		{"fraction for an integer", positional, `[1.5,{}]`, ArgError{Position: 1, Field: "ID", Go: "int64", JSON: "number"}, ""},
		{"number for a string", positional, `[1,{},0,7]`, ArgError{Position: 4, Field: "Since", Go: "string", JSON: "number"}, ""},
		{"too large", positional, `[1,{},300]`, ArgError{Position: 3, Field: "Level", Go: "int8", JSON: "number"}, ""},
		{"null", positional, `[null,{}]`, ArgError{Position: 1, Field: "ID", Go: "int64", JSON: "null"}, ""},
		{"inside", positional, `[1,{"zip":"x"}]`, ArgError{Position: 2, Field: "Home.zip", Go: "int", JSON: "string"},
			"ebb: decode Fit: argument 2 (Home.zip int) does not fit: JSON string"},
		{"array for an object", positional, `[1,[]]`, ArgError{Position: 2, Field: "Home", Go: "ebb.address", JSON: "array"}, ""},
		{"in the rest", rest, `[1,2,"x"]`, ArgError{Position: 3, Field: "Rest", Go: "int", JSON: "string"}, ""},
		{"null in the rest", rest, `[1,null]`, ArgError{Position: 2, Field: "Rest", Go: "int", JSON: "null"}, ""},
		{"inside an object", object, `[{"zip":"x"}]`, ArgError{Position: 1, Field: "zip", Go: "int", JSON: "string"}, ""},
		{"no object", object, `["x"]`, ArgError{Position: 1, Go: "ebb.address", JSON: "string"}, ""},
		{"positions for an object", object, `["x",1]`, ArgError{Position: 1, Go: "ebb.address", JSON: "string"}, ""},
		{"object missing", object, `[]`, ArgError{Position: 1, Go: "ebb.address"}, ""},
		{"single missing", single, `[]`, ArgError{Position: 1, Go: "int64"}, "ebb: decode Fit: argument 1 (int64) is missing"},
		{"single surplus", single, `[1,2]`, ArgError{Position: 2, JSON: "number"}, ""},
		{"not a time", when, `["secret"]`, ArgError{Position: 1, Go: "time.Time", JSON: "string"},
			"ebb: decode Fit: argument 1 (time.Time) does not fit: JSON string"},
		{"null for a number", exact, `[null]`, ArgError{Position: 1, Go: "json.Number", JSON: "null"}, ""},
		{"null for a text", addr, `[null]`, ArgError{Position: 1, Go: "netip.Addr", JSON: "null"}, ""},
		{"two values in one place", single, `[1 2]`, ArgError{Position: 1, Go: "int64", JSON: "number"}, ""},
		{"nothing in one place", single, `[1,]`, ArgError{Position: 2, JSON: "nothing"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.decode(test.in)
			got, ok := errors.AsType[*ArgError](err)
			if !ok {
				t.Fatalf("got error %v, want an *ArgError", err)
			}
			if test.text != "" && err.Error() != test.text {
				t.Errorf("text %q, want %q", err, test.text)
			}
			test.want.Kind, test.want.Err = "Fit", got.Err
			if diff := cmp.Diff(test.want, *got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, in := range []string{`{}`, `1`, `[`, `]`, `[{]`, `["]`, `[}`, `["a\`, `null`} {
		if err := single(in); !errors.Is(err, errNoArray) {
			t.Errorf("%s: got error %v, want %v", in, err, errNoArray)
		}
	}
}

type number int

func (number) MarshalJSON() ([]byte, error) { return []byte(`"n"`), nil }

func TestArgumentsThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	type args struct {
		Name  string
		Ratio float64
		Any   any
		Raw   json.RawMessage
		Rest  []float64 `ebb:"rest"`
	}
	job := Define[args]("Send")
	for _, test := range []struct {
		name  string
		args  args
		want  ArgError
		cause string
	}{
		{"NaN", args{Ratio: math.NaN()}, ArgError{Position: 2, Field: "Ratio", Go: "float64"}, "NaN"},
		{"channel", args{Any: make(chan int)}, ArgError{Position: 3, Field: "Any", Go: "interface {}"}, "chan int"},
		{"function inside", args{Any: []any{func() {}}}, ArgError{Position: 3, Field: "Any", Go: "interface {}"}, "func()"},
		{"raw", args{Raw: json.RawMessage(`{`)}, ArgError{Position: 4, Field: "Raw", Go: "json.RawMessage"}, "unexpected end"},
		{"rest", args{Rest: []float64{1, math.Inf(1)}}, ArgError{Position: 6, Field: "Rest", Go: "float64"}, "+Inf"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := job.def.codec.encode(reflect.ValueOf(&test.args).Elem())
			got, ok := errors.AsType[*ArgError](err)
			if !ok {
				t.Fatalf("got error %v, want an *ArgError", err)
			}
			if !strings.Contains(err.Error(), "cannot be encoded") || !strings.Contains(err.Error(), test.cause) {
				t.Errorf("text %q lacks %q", err, test.cause)
			}
			test.want.Kind, test.want.Err = "Send", got.Err
			if *got != test.want {
				t.Errorf("got %+v, want %+v", *got, test.want)
			}
		})
	}
	type own struct{ N number }
	if got := encoded(t, Define[own]("Own"), own{1}); got != `["n"]` {
		t.Errorf("a number with a JSON form of its own: %s", got)
	}
}

func TestDefineRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	type badTag struct {
		A int `ebb:"optionl"`
	}
	type gap struct {
		A int `ebb:"optional"`
		B int
	}
	type restFirst struct {
		A []int `ebb:"rest"`
		B int   `ebb:"optional"`
	}
	type restNoSlice struct {
		A int `ebb:"rest"`
	}
	type restRaw struct {
		A json.RawMessage `ebb:"rest"`
	}
	type hidden struct {
		A int
		b int
	}
	type embedded struct{ address }
	type channel struct{ C chan int }
	type jsonHidden struct {
		Secret string `json:"-"`
	}
	for _, test := range []struct {
		name   string
		define func()
		want   string
	}{
		{"kind", func() { Define[int]("") }, "the kind is empty"},
		{"kind with a space", func() { Define[int]("a b") }, "white space"},
		{"unknown tag", func() { Define[badTag]("K") }, `field A: the tag ebb:"optionl" is not one of`},
		{"required after optional", func() { Define[gap]("K") }, `field B: A before it is tagged ebb:"optional"`},
		{"rest not last", func() { Define[restFirst]("K") }, `field B: A is tagged ebb:"rest" and must be the last`},
		{"rest no slice", func() { Define[restNoSlice]("K") }, "needs a slice, and int is none"},
		{"rest raw", func() { Define[restRaw]("K") }, "needs a slice, and json.RawMessage is none"},
		{"unexported", func() { Define[hidden]("K"); _ = hidden{}.b }, "field b: an unexported field cannot travel"},
		{"embedded", func() { Define[embedded]("K") }, "field address: an embedded field has no place"},
		{"channel field", func() { Define[channel]("K") }, "field C: chan int has no JSON"},
		{"hidden by json", func() { Define[jsonHidden]("K") }, `field Secret: the tag json:"-"`},
		{"pointer", func() { Define[*address]("K") }, "write ebb.address instead"},
		{"function", func() { Define[func()]("K") }, "func() has no JSON"},
		{"object of a number", func() { Define[int]("K", AsObject()) }, "AsObject needs a struct or a map"},
		{"object with tags", func() { Define[restRaw]("K", AsObject()) }, "the ebb tags of ebb.restRaw mean nothing with AsObject"},
		{"option elsewhere", func() { Define[int]("K", JID("x")) }, "option JID means nothing to Define, give it to Enqueue"},
		{"option wrong", func() { Define[int]("K", Retry(-1)) }, "option Retry: -1 is negative"},
		{"two problems", func() { Define[gap]("K", Queue("a b")) }, `option Queue: queue "a b" has white space`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				text, _ := recover().(string)
				if !strings.HasPrefix(text, "ebb: Define[") || !strings.Contains(text, test.want) {
					t.Errorf("panic %q, want one about %q", text, test.want)
				}
			}()
			test.define()
		})
	}
}

func TestDecodedStringsDoNotAliasThePayload(t *testing.T) {
	t.Parallel()
	payload := json.RawMessage(`["abc"]`)
	got, err := Define[string]("K").Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	payload[2] = 'X'
	if got != "abc" {
		t.Errorf("got %q after the payload was overwritten", got)
	}
}

func FuzzArgumentsRoundTrip(f *testing.F) {
	type args struct {
		I    int64
		U    uint16
		S    string
		B    bool
		F    float64
		Raw  []byte
		Any  any
		Opt  string   `ebb:"optional"`
		Rest []string `ebb:"rest"`
	}
	job := Define[args]("Fuzz")
	f.Add(int64(9007199254740993), uint16(7), "<a>", true, 1.5, []byte{0}, "x", "", "")
	f.Add(int64(math.MinInt64), uint16(0), "\u2028\\\"", false, -1e300, []byte(nil), "", "o", "r")
	f.Fuzz(func(t *testing.T, i int64, u uint16, s string, b bool, fl float64, raw []byte, a, opt, rest string) {
		for _, text := range []*string{&s, &a, &opt, &rest} {
			*text = strings.ToValidUTF8(*text, "?") // JSON has no other text
		}
		in := args{I: i, U: u, S: s, B: b, F: fl, Raw: raw, Any: a, Opt: opt}
		if rest != "" {
			in.Rest = []string{rest, ""}
		}
		encoded, err := job.def.codec.encode(reflect.ValueOf(&in).Elem())
		if err != nil {
			if math.IsNaN(fl) || math.IsInf(fl, 0) {
				return
			}
			t.Fatal(err)
		}
		if !json.Valid(encoded) {
			t.Fatalf("not JSON: %s", encoded)
		}
		out, err := job.Decode(encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if diff := cmp.Diff(in, out); diff != "" {
			t.Errorf("%s (-in +out):\n%s", encoded, diff)
		}
	})
}

// FuzzDecode: whatever the bytes are, decoding agrees with encoding/json about
// what is an array of two integers and a string.
func FuzzDecode(f *testing.F) {
	type fields struct {
		A int64
		C string
		B int8 `ebb:"optional"`
	}
	job := Define[fields]("Fuzz")
	for _, seed := range []string{`[1,"a"]`, `[1,"a",2]`, `[01,"a"]`, `["\"",1]`, `[1,"a",]`, `[+1,""]`, "[1,\"\x80\"]", `[1,"a"],[`, `[{"a":[1,2]},"]"]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := job.Decode(in)
		if err != nil {
			return
		}
		if len(strings.TrimSpace(string(in))) == 0 {
			t.Fatal("nothing was enough")
		}
		var raw []json.RawMessage
		if err := json.Unmarshal(in, &raw); err != nil {
			t.Fatalf("%q was decoded, and is no array: %v", in, err)
		}
		var want fields
		targets := []any{&want.A, &want.C, &want.B}
		for i, elem := range raw {
			if err := json.Unmarshal(elem, targets[i]); err != nil {
				t.Fatalf("%q was decoded, and element %d does not fit: %v", in, i, err)
			}
		}
		if got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	})
}
