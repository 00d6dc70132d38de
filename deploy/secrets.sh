#!/bin/sh
# Makes the passwords and the key that docker-compose.yml hands to its services: one file each, in
# deploy/secrets. What is there stays. It needs openssl and base32.
set -eu
cd "$(dirname "$0")"

# The folder keeps others out. The files themselves can be read by whatever user a container runs
# as: each container sees only those that it is given.
mkdir -p secrets
chmod 0700 secrets
for user in core edge presence search push integrations files admin route; do
  file="secrets/$user.password"
  [ -s "$file" ] && continue
  # nats-server takes it from its environment, where it has to begin with a letter.
  printf 'w%s\n' "$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')" >"$file.new"
  chmod 0444 "$file.new"
  mv "$file.new" "$file"
  echo "made deploy/$file"
done

# The key by which core answers for bots' logins: its seed is for core, and what it is known by is for
# nats-server. It is the same as `weft bots-key` makes.
if [ ! -s secrets/bots.seed ]; then
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >secrets/bots.seed.new
  chmod 0444 secrets/bots.seed.new
  mv secrets/bots.seed.new secrets/bots.seed
  rm -f secrets/bots.issuer
  echo "made deploy/secrets/bots.seed"
fi
if [ ! -s secrets/bots.issuer ]; then
  # Bytes of hexadecimal digits: printf knows octal ones everywhere.
  bytes() {
    for byte in $(sed 's/../& /g'); do
      # shellcheck disable=SC2059
      printf "\\$(printf %03o "0x$byte")"
    done
  }
  # An Ed25519 key as PKCS #8; the last 32 bytes of its public half are the key itself.
  public=$( (printf 302e020100300506032b657004220420 && cat secrets/bots.seed) | bytes |
    openssl pkey -inform DER -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \n')
  # As NATS writes an account's key: a byte of zero, the key, its CRC-16, in base 32.
  crc=0
  for byte in 00 $(printf %s "$public" | sed 's/../& /g'); do
    crc=$((crc ^ 0x$byte << 8))
    for _ in 1 2 3 4 5 6 7 8; do
      crc=$((crc & 32768 ? (crc << 1 ^ 4129) & 65535 : crc << 1))
    done
  done
  sum=$(printf '%02x%02x' $((crc & 255)) $((crc >> 8)))
  printf '00%s%s' "$public" "$sum" | bytes | base32 | tr -d '=\n' >secrets/bots.issuer.new
  chmod 0444 secrets/bots.issuer.new
  mv secrets/bots.issuer.new secrets/bots.issuer
fi
