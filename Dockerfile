# syntax=docker/dockerfile:1
# The image of a node; with `--target worker` the package of the function that delivers webhooks, and with `--target deploy`
# the scripts that put it into AWS. For linux/amd64 and linux/arm64, each on such a machine or under emulation.
#
#   docker build -t socket-rush .
#   docker run --read-only -p 6001:6001 -e APP_ID=1 -e APP_KEY=app-key -e APP_SECRET=app-secret socket-rush

FROM rust:1.95-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008 # Debian keeps one version of a package in a release.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends zip \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
ARG TARGETARCH
COPY . .
# What was compiled is kept in a cache of the builder; what is left in the layer are the programs alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/source/target,id=socket-rush-target-${TARGETARCH},sharing=locked \
    cargo build --locked --release -p socket-node \
 && cargo build --locked --release -p webhook-worker --bin webhook-lambda --no-default-features --features lambda \
 && mkdir /out \
 && cp target/release/socket-rush /out/ \
 && cp target/release/webhook-lambda /out/bootstrap
# The function runs on Amazon Linux 2023, whose C library is 2.34.
RUN newest=$(objdump -T /out/bootstrap | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1) \
 && [ "$(printf '%s\nGLIBC_2.34\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.34 ] \
 && zip -X -j /out/worker.zip /out/bootstrap

FROM scratch AS worker
COPY --from=build /out/worker.zip /

# For localstack/docker-compose.yml.
FROM python:3.12-slim-bookworm AS deploy
RUN pip install --no-cache-dir awscli==1.46.3
COPY infra /infra
COPY --from=build /out/worker.zip /worker.zip
COPY --from=build /out/socket-rush /usr/local/bin/socket-rush
ENTRYPOINT ["/infra/deploy.sh"]

FROM gcr.io/distroless/cc-debian12:nonroot AS node
COPY --from=build /out/socket-rush /usr/local/bin/socket-rush
# The ports of clients and, with METRICS_ENABLED=true, of metrics.
EXPOSE 6001 6002
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/socket-rush"]
