#!/bin/sh
# Makes the passwords that docker-compose.yml hands to its services: one file each, in
# deploy/secrets. What is there stays. Further systems that may publish are named as arguments.
set -eu
cd "$(dirname "$0")"

# The folder keeps others out. The files themselves can be read by whatever user a container runs
# as: each container sees only those that it is given.
mkdir -p secrets
chmod 0700 secrets
for user in core edge presence search push integrations files admin route bot "$@"; do
  file="secrets/$user.password"
  [ -s "$file" ] && continue
  # nats-server takes it from its environment, where it has to begin with a letter.
  printf 'w%s\n' "$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')" >"$file.new"
  chmod 0444 "$file.new"
  mv "$file.new" "$file"
  echo "made deploy/$file"
done
