#!/bin/bash
kubectl rollout restart deployment/worker
docker stop worker
pkill -TERM sidekiq
docker kill -s TSTP worker
rm -f tmp/pids/server.pid
