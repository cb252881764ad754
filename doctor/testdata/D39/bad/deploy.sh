#!/bin/sh
set -e
docker compose exec -T worker ebb drain -t 600
docker compose up -d
