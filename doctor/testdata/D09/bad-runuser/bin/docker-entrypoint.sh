#!/bin/sh
exec runuser -u app -- "$@"
