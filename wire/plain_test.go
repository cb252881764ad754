package wire

import "testing"

func TestValuesAreWrittenAsRubyWould(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		` [ 1 , { "a b" : [ ] } ]` + "\n":       `[1,{"a b":[]}]`,
		`["\u2028\u00e9\ud83d\ude00\/\u0041"]`:  "[\"\u2028é😀/A\"]",
		`["\u0000\u001F\b\t\n\f\r\"\\\u0022"]`:  `["\u0000\u001f\b\t\n\f\r\"\\\""]`,
		`["\ud83d","\ude00x","\ufffd"]`:         "[\"\\ud83d\",\"\\ude00x\",\"\uFFFD\"]",
		`[1e300,1E-7,1.5e21,-2e+16,1e0400]`:     `[1.0e+300,1.0e-07,1.5e+21,-2.0e+16,1.0e+400]`,
		`[1.5e3,1E15,1e-4,0.1e20,12e20,0e99]`:   `[1.5e3,1E15,1e-4,0.1e20,12e20,0e99]`,
		`[1.50,0.10,-0.0,12345678901234567890]`: `[1.50,0.10,-0.0,12345678901234567890]`,
		`[true,false,null,"1e5 true"]`:          `[true,false,null,"1e5 true"]`,
		`["cut`:                                 `["cut`,
		`not json`:                              `not json`,
	} {
		if got := string(appendPlain(nil, []byte(value))); got != want {
			t.Errorf("%s is written %s, want %s", value, got, want)
		}
	}
}
