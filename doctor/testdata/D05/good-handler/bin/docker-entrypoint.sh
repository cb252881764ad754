#!/bin/bash
stop() {
  kill -TERM "$pid"
  wait "$pid"
}
trap stop TERM INT
"$@" &
pid=$!
wait "$pid"
