#!/bin/sh
# Starts one nats-server of the cluster, in its container: passwords and routes come from its
# environment (see nats.conf), where this puts them from the files of its secrets. So they are in
# no command line and no description of the container.
#
# WEFT_NATS_NAME     this server's name
# WEFT_NATS_SERVERS  host:port of all servers' routes; that its own is among them does no harm
set -eu
secrets="${WEFT_SECRETS:-/run/secrets}"

failed() {
  echo "nats.sh: $1" >&2
  exit 1
}

for file in "$secrets"/*.password; do
  [ -f "$file" ] || failed "there is no password file in $secrets: deploy/secrets.sh makes them"
  password="$(cat "$file")" || failed "$file can't be read: chmod 0444 deploy/secrets/*.password"
  # What nats-server would not take from its environment, or would read as something else.
  case "$password" in
    '' | [!A-Za-z]* | *[!A-Za-z0-9_-]*)
      failed "$file: a password begins with a letter and consists of letters, digits, - and _; \
delete the file, and deploy/secrets.sh makes a new one"
      ;;
  esac
  user="$(basename "$file" .password | tr 'a-z-' 'A-Z_')"
  export "WEFT_${user}_PASSWORD=$password"
done

[ -s "$secrets/bots.issuer" ] || failed "there is no bots.issuer in $secrets: deploy/secrets.sh makes it"
WEFT_BOTS_ISSUER="$(cat "$secrets/bots.issuer")"
export WEFT_BOTS_ISSUER

routes=
for server in $WEFT_NATS_SERVERS; do
  routes="$routes\"nats://route:$WEFT_ROUTE_PASSWORD@$server\", "
done
export WEFT_ROUTES="[${routes%, }]"

exec nats-server -c "${WEFT_NATS_CONFIG:-/etc/weft/nats.conf}" --name "$WEFT_NATS_NAME" "$@"
