#!/bin/bash
source /etc/profile
bundle exec sidekiq
