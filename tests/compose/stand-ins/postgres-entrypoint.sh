#!/usr/bin/env bash
# The part of the official entrypoint that docker-compose.yml relies on: POSTGRES_PASSWORD, scram over TCP, not root.
set -euo pipefail
if [[ $(id -u) == 0 ]]; then
  install --directory --owner=postgres --mode=0700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  if [[ -z ${POSTGRES_PASSWORD:-} ]]; then
    echo "the database is not initialised and POSTGRES_PASSWORD is not set" >&2
    exit 1
  fi
  initdb --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
fi
exec "$@"
