# syntax=docker/dockerfile:1

# Build:  docker build -t taskwright .
# Run:    docker run -p 127.0.0.1:8080:8080 -v taskwright:/var/lib/taskwright --stop-timeout 45 \
#             -v ./config.toml:/etc/taskwright/config.toml:ro taskwright
# The daemon listens on every address of the container, so it wants [[tokens]] in its configuration (or in
# TASKWRIGHT__TOKENS) and says so when there are none. --stop-timeout is above server.drain + server.drain_grace.
# With --read-only it wants --tmpfs /tmp. packaging/compose.yaml has all of this; packaging/check-image checks the image.
# For a release:  --build-arg VERSION=… --build-arg REVISION="$(git rev-parse HEAD)", and RUST_VERSION and RUNTIME with
# their digests (bookworm-slim@sha256:…).

ARG RUST_VERSION=1.95
ARG RUNTIME=debian:bookworm-slim

FROM rust:${RUST_VERSION}-bookworm AS chef
RUN cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

# The recipe changes only when the dependencies do: that keeps the layer below.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --bin taskwright \
    && mkdir -p /out/usr/local/bin \
    && cp target/release/taskwright /out/usr/local/bin/taskwright

FROM ${RUNTIME} AS runtime
# python3 and the certificates are for the commands that run as tasks. tini reaps what they leave to process 1.
# No versions: the archive drops a package's old version as soon as there is a security fix.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 0700 -o 65532 -g 65532 /var/lib/taskwright
COPY --from=build /out/usr/local/bin/taskwright /usr/local/bin/taskwright
ENV TASKWRIGHT_SERVER__LISTEN=0.0.0.0:8080 \
    TASKWRIGHT_DATABASE__URL=sqlite:///var/lib/taskwright/taskwright.db
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Taskwright" \
      org.opencontainers.image.description="A task server: starts, watches and stops background tasks over HTTP, durable on SQLite" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
WORKDIR /var/lib/taskwright
VOLUME /var/lib/taskwright
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/taskwright", "healthcheck"]
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/taskwright"]
CMD ["serve"]
