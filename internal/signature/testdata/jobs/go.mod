module example.com/jobs

go 1.26.0

require github.com/ebbjobs/ebb v0.0.0

replace github.com/ebbjobs/ebb => ../../../..
