#!/bin/sh
set -e
rm -f tmp/pids/server.pid
main() {
  bin/rails db:prepare
  exec "$@"
}
main "$@"
