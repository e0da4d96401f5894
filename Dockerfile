# The image of `dt`. docs/containers.md has the build arguments, and what a container needs to measure.
#
#   docker build -t distributed-trace --build-arg GIT_COMMIT=$(git rev-parse --short=12 HEAD) .
#
# With a binary built outside, where the build can't reach the crates:
#
#   cargo build --release -p distributed-trace --features image
#   docker build -t distributed-trace --target prebuilt -f Dockerfile target/release
#
# Needs BuildKit (Docker 23, or DOCKER_BUILDKIT=1 before it): the old builder would lose the file capability in COPY, and
# fails here at the first --mount. There is no `# syntax=` line, which would fetch one more image.

# All three of one Debian release: the binary needs the glibc that it was built with, or a later one.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG TOOLS_IMAGE=debian:bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12

# What only the build needs, so that the last stage can do without a shell. Installs nothing where all is there already.
FROM ${TOOLS_IMAGE} AS tools
RUN --mount=type=cache,target=/var/cache/apt \
    command -v setcap && test -s /etc/ssl/certs/ca-certificates.crt || { \
        apt-get update && \
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libcap2-bin; \
    }

# A C compiler comes with Rust. librdkafka doesn't configure without one for C++; OpenSSL is configured by Perl.
FROM ${RUST_IMAGE} AS compiler
RUN command -v make && command -v c++ && perl -MFindBin -MIPC::Cmd -e 1 || { \
        apt-get update && \
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++ make perl && \
        rm -rf /var/lib/apt/lists/*; \
    }
WORKDIR /work
ENV CARGO_INCREMENTAL=0

# The workspace without its code: manifests, and empty crates. Changes only where a manifest or the lock file does.
FROM compiler AS manifests
COPY . .
RUN mkdir /empty && \
    cp --parents Cargo.toml Cargo.lock */Cargo.toml */*/Cargo.toml /empty && \
    for file in src/*/lib.rs; do : >"/empty/$file"; done && \
    for file in src/*/main.rs src/*/build.rs; do echo 'fn main() {}' >"/empty/$file"; done

# All dependencies, in a layer that a change to our code leaves as it is. Of ours nothing may pass for built.
FROM compiler AS dependencies
COPY --from=manifests /empty .
RUN cargo build --release --locked -p distributed-trace --features image && \
    rm -rf target/release/.fingerprint/distributed-trace*

FROM dependencies AS build
COPY . .
# There is no .git here; `dt --version` says this commit.
ARG GIT_COMMIT=
RUN cargo build --release --locked -p distributed-trace --features image

# The capability is in the permitted set only, and `dt` raises it: in the effective set too, exec would fail in every
# container that may not have it. Running it once shows here that it fits glibc and processor.
FROM tools AS built-binary
RUN --mount=type=bind,from=build,source=/work/target/release,target=/from \
    install -m 755 /from/dt /dt && /dt --version && setcap cap_net_raw=p /dt

FROM tools AS prebuilt-binary
ARG BINARY=dt
COPY ${BINARY} /from/dt
RUN install -m 755 /from/dt /dt && /dt --version && setcap cap_net_raw=p /dt

FROM ${RUNTIME_IMAGE} AS runtime
# What brokers' certificates are checked against; slim images have none.
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
EXPOSE 4000 9464
# Finds the agent's address by the same variables; --http given to the agent alone it can't know.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/dt", "health"]
ENTRYPOINT ["/usr/local/bin/dt"]
CMD ["agent"]
ARG RUNTIME_IMAGE
ARG VERSION=0.1.0
ARG GIT_COMMIT=
LABEL org.opencontainers.image.title="distributed-trace" \
      org.opencontainers.image.description="Measures the network's latency between all nodes of a cluster, with kernel timestamps" \
      org.opencontainers.image.source="https://github.com/JKOK005/Distributed-trace" \
      org.opencontainers.image.documentation="https://github.com/JKOK005/Distributed-trace/blob/main/docs/containers.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}" \
      org.opencontainers.image.base.name="${RUNTIME_IMAGE}"

FROM runtime AS prebuilt
COPY --from=prebuilt-binary /dt /usr/local/bin/dt

FROM runtime AS image
COPY --from=built-binary /dt /usr/local/bin/dt
