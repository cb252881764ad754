package doctor

import "strings"

// tells are how findings begin that a rule explains. Processes tell in words, since
// people read them in a log as well.
var tells = []struct{ begins, rule string }{
	{"PID 1 is ", "L01"},
	{"the container's first process is ", "L01"},
	{"this process is a grandchild of ", "L01"},
	{"grace is ", "L05"},
	{"grace of ", "L06"},
	{"maxmemory-policy ", "L09"},
	{"appendonly ", "L09"},
}

// Explain finds the rule behind what a worker or a store said of itself: by its number,
// if it names one, or by how it begins.
func Explain(finding string) (Rule, bool) {
	notOfRule := func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }
	for word := range strings.FieldsFuncSeq(finding, notOfRule) {
		if rule, ok := RuleOf(word); ok {
			return rule, true
		}
	}
	for _, t := range tells {
		if strings.HasPrefix(finding, t.begins) {
			return RuleOf(t.rule)
		}
	}
	return Rule{}, false
}
