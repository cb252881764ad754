package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		in, want string
		ok       bool
	}{
		"a package that passes leaves its last line": {
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`,
			want: "ok  \tp\t0.1s\n", ok: true,
		},
		"what a passing test wants known": {
			in:   `{"Action":"attr","Package":"p","Test":"TestA","Key":"ran twice","Value":"3"}` + "\n",
			want: "    TestA: ran twice: 3\n", ok: true,
		},
		"a test that fails is shown whole": {
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: no\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
`,
			want: "    a_test.go:1: no\n",
		},
		"a skipped test fails the run": {
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: no redis\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
`,
			want: "skipped, which counts as failed: p\n    a_test.go:1: no redis\n",
		},
		"a package without tests does not": {
			in: `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}
{"Action":"skip","Package":"p"}
`,
			want: "?   \tp\t[no test files]\n", ok: true,
		},
		"a test that never ended is shown when its package fails": {
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}
`,
			want: "=== RUN   TestA\npanic: test timed out\n",
		},
		"a package that does not build": {
			in: `{"ImportPath":"p","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
`,
			want: "undefined: x\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			ok, err := report(strings.NewReader(c.in), &out)
			if ok != c.ok || err != nil {
				t.Errorf("ok %v, %v; want %v", ok, err, c.ok)
			}
			if out.String() != c.want {
				t.Errorf("printed %q, want %q", &out, c.want)
			}
		})
	}
}
