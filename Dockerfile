# syntax=docker/dockerfile:1
# One image for every part: a static program on nothing. `docker build --tag plimsoll:dev .`

FROM rust:1.95-alpine AS toolchain
RUN apk add --no-cache build-base ca-certificates
WORKDIR /src

# The workspace without its sources: same names, empty contents. What is copied from here changes only when a manifest does,
# so that the layer which compiles 500 dependencies is kept when only our own code changes.
FROM toolchain AS skeleton
COPY . .
RUN find . -name '*.rs' -exec truncate -s 0 {} + \
    && find . -path '*/src/main.rs' -exec sh -c 'for f; do echo "fn main() { }" > "$f"; done' _ {} + \
    && find . -type f ! -name '*.rs' ! -name Cargo.toml ! -name Cargo.lock -exec rm {} + \
    && find . -name '*.rs' ! -path '*/src/main.rs' ! -path '*/src/lib.rs' ! -path '*/tests/*/main.rs' -exec rm {} + \
    && find . -type l -exec rm {} +

FROM toolchain AS build
COPY --from=skeleton /src .
RUN cargo build --release --locked --package plimsoll
COPY . .
# Cargo goes by times, and a file may be older than its empty double.
RUN find . -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --package plimsoll \
    && cp target/release/plimsoll /plimsoll \
    && ! readelf --dynamic /plimsoll | grep -q NEEDED

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="plimsoll" \
      org.opencontainers.image.description="Scrapes metrics, takes in traces, and keeps every service loaded to its line by policy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=toolchain /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /plimsoll /plimsoll
USER 65532:65532
# The collector's API and the two ports for traces, the autoscaler's API, the shop's services.
EXPOSE 9090 4317 4318 9091 8080
ENTRYPOINT ["/plimsoll"]
