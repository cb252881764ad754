#!/bin/sh
docker run -d --stop-timeout 40 shop:$TAG bundle exec sidekiq
