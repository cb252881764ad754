#!/bin/sh
kubectl exec -n shop deploy/worker -c worker -- sh -c 'kill -TERM 1'
