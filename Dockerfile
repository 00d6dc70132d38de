# syntax=docker/dockerfile:1

# One image for all roles, with both stores: `docker build -t weft .`

ARG RUST_VERSION=1.95
# The client library and the server have to be of one 7.3; docker-compose.yml names the same.
ARG FDB_VERSION=7.3.63

# FoundationDB's own image carries its client library.
FROM foundationdb/foundationdb:${FDB_VERSION} AS foundationdb

FROM rust:${RUST_VERSION}-slim-trixie AS build
# For the bindings to FoundationDB's C library.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=foundationdb /usr/lib/libfdb_c.so /usr/lib/libfdb_c.so
WORKDIR /src
COPY . .
# The caches are the builder's own and no part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p weft --features fdb \
    && install -D -s target/release/weft /out/weft

FROM debian:trixie-slim
# By whose certificates other hosts are known: of link previews.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 weft \
    && useradd --system --uid 10001 --gid weft --no-create-home --home-dir /var/lib/weft weft \
    && install -d -o weft -g weft /var/lib/weft
COPY --from=foundationdb /usr/lib/libfdb_c.so /usr/lib/libfdb_c.so
COPY --from=build /out/weft /usr/local/bin/weft
# Where the client library is missing or another, it is seen here and not in the night.
RUN ["weft", "--version"]
USER 10001:10001
# An embedded store is made here, unless WEFT_STORE says otherwise.
WORKDIR /var/lib/weft
EXPOSE 7300 7310
ENTRYPOINT ["weft"]
CMD ["--help"]
