# The image holds one program, the C library and the certificate authorities: no shell, no root.
#
#   docker build -t secretwatch .
#   docker run -v secretwatch:/var/lib/secretwatch -e AWS_REGION -e SECRETWATCH_CONFIG_TOML secretwatch
#
# Base images are pinned by version. Whoever builds for others pins them by digest too, so that the same file gives the
# same image: `docker buildx imagetools inspect rust:1.95.0-slim-bookworm` prints it, to be appended as @sha256:….

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build

# Dependencies first, under a program that does nothing: this layer changes with Cargo.lock and not with every line.
# Benches that the manifest names would have to be there, so it loses them.
COPY Cargo.toml Cargo.lock ./
RUN sed -i '/^\[\[bench\]\]/,/^$/d' Cargo.toml \
    && mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --locked --profile dist --bin secretwatch

COPY src src
# The files just copied may be older than what was built from their stand-ins.
RUN touch src/main.rs src/lib.rs && cargo build --locked --profile dist --bin secretwatch \
    && mkdir /state

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/dist/secretwatch /usr/bin/secretwatch
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /state /var/lib/secretwatch
USER 65532:65532
VOLUME /var/lib/secretwatch
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/secretwatch"]
