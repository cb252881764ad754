.PHONY: test quick check check-ui screenshots mutants recovery reference five-minutes vuln bench fuzz

# Everything that CI runs.
test:
	scripts/test

# The tests alone, without the race detector.
quick:
	go test ./...

# Formatting and static analysis.
check:
	scripts/check

# What a browser sees of a store with a million jobs, and docs/reference/web-checks.md anew.
# It needs chromium, npm, redis-server and ruby-sidekiq, and a machine that does nothing else.
check-ui:
	go -C tools test -tags=ui -count=1 -v -timeout=60m ./browser -bounds -figures ../../docs/reference/web-checks.md

# docs/pictures anew, of a small fleet that is deployed and killed.
screenshots:
	go run -C tools ./screenshots

# Each protection is taken out in turn, and a test must go red: RUN=REGEXP picks some.
mutants:
	go run -C tools ./mutants -run '$(RUN)'

# How soon jobs run again whose process was killed, for docs/reference/performance.md.
recovery:
	go run -C tools ./recovery $(ARGS)

# docs/reference/cli.md anew, from the help of the commands.
reference:
	go test ./cmd/ebb -run TestReference -update

# What a new user does, with nothing downloaded or built before: from clone to a
# killed and resumed job.
five-minutes:
	scripts/five-minutes

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
