#!/bin/bash
# Makes the database, once. Where there is one already the cluster refuses it, so nothing is ever
# put in the place of data.
set -eu

is_available() {
  fdbcli --timeout 5 --exec 'status minimal' | grep -q 'The database is available'
}

for _ in $(seq 60); do
  if is_available; then
    echo 'the database is available'
    exit 0
  fi
  fdbcli --timeout 10 --exec 'configure new single ssd' || true
  sleep 1
done
echo 'the database did not become available' >&2
exit 1
