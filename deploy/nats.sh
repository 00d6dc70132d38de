#!/bin/sh
# Starts one nats-server of the cluster, in its container: passwords and routes come from its
# environment (see nats.conf), where this puts them from the files of its secrets. So they are in
# no command line and no description of the container.
#
# WEFT_NATS_NAME     this server's name
# WEFT_NATS_SERVERS  host:port of all servers' routes; that its own is among them does no harm
set -eu
secrets="${WEFT_SECRETS:-/run/secrets}"

for file in "$secrets"/*.password; do
  user="$(basename "$file" .password | tr 'a-z-' 'A-Z_')"
  export "WEFT_${user}_PASSWORD=$(cat "$file")"
done

routes=
for server in $WEFT_NATS_SERVERS; do
  routes="$routes\"nats://route:$WEFT_ROUTE_PASSWORD@$server\", "
done
export WEFT_ROUTES="[${routes%, }]"

exec nats-server -c "${WEFT_NATS_CONFIG:-/etc/weft/nats.conf}" --name "$WEFT_NATS_NAME" "$@"
