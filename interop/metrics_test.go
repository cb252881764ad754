package interop

import (
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// kindMetrics is what Sidekiq's page Metrics tells of a class.
type kindMetrics struct{ runs, failures int }

// checkMetrics compares what is there for the pages of Sidekiq 7 and 8 with want: all of
// it, in the hashes of minutes and of ten, and in the histograms those that went well.
func (p *pair) checkMetrics(want map[string]kindMetrics) {
	p.Helper()
	for family, pattern := range map[string]string{"7": "j|20??????|*", "8": "j|??????|*:??", "8, by ten minutes": "j|??????|*:?"} {
		got := map[string]kindMetrics{}
		for key := range strings.FieldsSeq(p.server.Do("KEYS", pattern)) {
			fields, values := strings.Split(p.server.Do("HKEYS", key), "\n"), strings.Split(p.server.Do("HVALS", key), "\n")
			for i, field := range fields {
				kind, what, _ := strings.Cut(field, "|")
				n, err := strconv.Atoi(values[i])
				p.must(err)
				m := got[kind]
				switch what {
				case "p":
					m.runs += n
				case "f":
					m.failures += n
				}
				got[kind] = m
			}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(kindMetrics{})); diff != "" {
			p.Errorf("metrics of Sidekiq %s (-want +got):\n%s", family, diff)
		}
	}
	for kind, m := range want {
		for family, pattern := range map[string]string{"7": kind + "-??-??:*", "8": "h|" + kind + "-*-*:*"} {
			n := 0
			for key := range strings.FieldsSeq(p.server.Do("KEYS", pattern)) {
				for counter := range 26 {
					k, err := strconv.Atoi(p.server.Do("BITFIELD_RO", key, "GET", "u16", "#"+strconv.Itoa(counter)))
					p.must(err)
					n += k
				}
			}
			if n != m.runs-m.failures {
				p.Errorf("histograms of Sidekiq %s count %d runs of %s, want %d", family, n, kind, m.runs-m.failures)
			}
		}
	}
}
