# The image holds one program, the C library and the certificate authorities: no shell, no root, nothing to write to but
# the state.
#
#   docker build -t secretwatch .
#   docker run --read-only --cap-drop ALL -v secretwatch:/var/lib/secretwatch -e AWS_REGION -e SECRETWATCH_CONFIG_TOML \
#     secretwatch
#
# Base images are pinned by version. Whoever builds for others pins them by digest too, so that the same file gives the
# same image: `docker buildx imagetools inspect rust:1.95.0-slim-bookworm` prints it, to be given as
# `--build-arg BUILD_IMAGE=rust:1.95.0-slim-bookworm@sha256:…`, and RUN_IMAGE likewise.
#
# checkov:skip=CKV_DOCKER_7:the versions stand in the arguments below
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build

# Dependencies first, under a program that does nothing: this layer changes with Cargo.lock and not with every line.
# Benches that the manifest names would have to be there, so it loses them.
COPY Cargo.toml Cargo.lock ./
RUN sed -i '/^\[\[bench\]\]/,/^$/d' Cargo.toml \
    && mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --locked --profile dist --bin secretwatch

COPY src src
COPY deploy/licences.sh deploy/
# The files just copied may be older than what was built from their stand-ins.
RUN touch src/main.rs src/lib.rs && cargo build --locked --profile dist --bin secretwatch \
    && mkdir /state /licences \
    && deploy/licences.sh > /licences/THIRD-PARTY.txt
COPY LICENSE /licences/

FROM ${RUN_IMAGE}
COPY --from=build /build/target/dist/secretwatch /usr/bin/secretwatch
COPY --from=build /licences /usr/share/doc/secretwatch
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /state /var/lib/secretwatch
USER 65532:65532
VOLUME /var/lib/secretwatch
STOPSIGNAL SIGTERM
# A large store may take its time to open.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m --retries=3 CMD ["/usr/bin/secretwatch", "health"]
ENTRYPOINT ["/usr/bin/secretwatch"]
