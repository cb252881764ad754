#!/bin/sh
set -e
rm -f tmp/pids/server.pid
if [ "$1" = "puma" ]; then
  exec "$@"
else
  "$@"
fi
