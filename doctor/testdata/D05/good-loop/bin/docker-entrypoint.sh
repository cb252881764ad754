#!/bin/sh
trap 'kill -TERM "$pid"' TERM
"$@" &
pid=$!
while kill -0 "$pid" 2>/dev/null; do
  wait "$pid"
done
