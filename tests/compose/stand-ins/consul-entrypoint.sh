#!/bin/sh
# What the official entrypoint does with `agent ...`: its folders, its user, the rest of the arguments as they are.
set -eu
if [ "$1" = agent ]; then
  shift
  set -- agent -data-dir=/consul/data -config-dir=/consul/config "$@"
fi
exec setpriv --reuid=consul --regid=consul --clear-groups consul "$@"
