#!/bin/sh
set -e
docker compose exec -T worker kill -TSTP 1
docker compose exec -T worker ebb drain -t 600 --no-term
docker compose stop worker
docker compose up -d
