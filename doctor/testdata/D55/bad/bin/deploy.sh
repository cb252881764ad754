#!/bin/bash
kubectl delete pod -l app=worker --grace-period=0 --force
docker rm -f worker
pkill -9 sidekiq
docker compose down -t 0
