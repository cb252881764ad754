#!/bin/sh
set -e
docker pull shop:$TAG
docker run -d --name worker shop:$TAG bundle exec sidekiq
