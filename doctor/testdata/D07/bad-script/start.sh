#!/bin/sh
set -e
exec yarn worker
