.PHONY: test quick check vuln bench fuzz

# Everything that CI runs.
test:
	scripts/test

# The tests alone, without the race detector.
quick:
	go test ./...

# Formatting and static analysis.
check:
	scripts/check

# Known vulnerabilities. Their database is on the network, so this is no part of check.
vuln:
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...

# This machine's figures, beside those of other job systems. See bench/README.md.
bench:
	go -C bench run . $(ARGS)

# Each fuzz target for half a minute.
fuzz:
	@grep -rE --include='*_test.go' '^func Fuzz' . | sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | \
	while read -r dir target; do \
		echo "$$dir $$target"; \
		go test -run='^$$' -fuzz="^$$target$$" -fuzztime=30s "$$dir" || exit 1; \
	done
