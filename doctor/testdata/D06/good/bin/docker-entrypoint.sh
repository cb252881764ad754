#!/bin/sh
trap 'rm -f /tmp/ready' TERM
exec "$@"
