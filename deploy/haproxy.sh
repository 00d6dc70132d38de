#!/bin/sh
# Starts the load balancer, in its container. It takes as many open files as it may, two for each
# connection; where that is less than haproxy.cfg wants (fd-hard-limit) this says so.
set -eu
config="${WEFT_HAPROXY_CONFIG:-/usr/local/etc/haproxy/haproxy.cfg}"

wanted="$(sed -n 's/^ *fd-hard-limit *//p' "$config")"
allowed="$(ulimit -Hn)"
if [ "$allowed" != unlimited ] && [ "$allowed" -lt "$wanted" ]; then
  echo "haproxy.sh: this machine allows $allowed open files, $wanted are wanted: the balancer takes \
about $((allowed / 2)) connections at once, the others wait. Raise the hard limit (default-ulimits \
of Docker's daemon)" >&2
fi

exec haproxy -W -db -f "$config"
