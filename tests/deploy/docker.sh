#!/usr/bin/env bash
# The image: built from the Dockerfile, run as it is to be run (read-only, without capabilities, as nobody),
# healthy, stopped, started again on its volume, and started on an empty one, as on Fargate.
#
# A daemon of its own, on a socket of its own, so that no other container is touched. Base images cannot be pulled
# everywhere, so they are made here: Debian's smallest root, with a compiler for the first stage, and the C library alone
# for the second.
#
#   tests/deploy/docker.sh             the compiler is a stand-in that brings the program that cargo has built here: every
#                                      instruction of the Dockerfile is carried out, but nothing is compiled
#   COMPILE=1 tests/deploy/docker.sh   with this machine's own Rust; needs a network, and as long as a `dist` build takes
#
# Needs root, docker.io, mmdebstrap, and the account: `cargo build --bin secretwatch --example account`.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
project="$(cd "$here/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$project/target}"
patience=120

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
seen() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
until_true() {
    local what="$1" started=$SECONDS
    shift
    until "$@" > /dev/null 2>&1; do
        ((SECONDS - started < patience)) || {
            docker logs watch >&2 || true
            docker inspect --format '{{json .State}}' watch >&2 || true
            fail "waited in vain for $what"
        }
        sleep 0.3
    done
}

folder="$(mktemp -d)"
trap ends EXIT
ends() {
    local status=$?
    trap - EXIT
    docker rm --force watch > /dev/null 2>&1 || true
    for process in "${dockerd:-}" "${account:-}"; do
        [[ -z "$process" ]] || { kill "$process" 2> /dev/null && wait "$process" 2> /dev/null; } || true
    done
    ((status == 0)) || tail -n 20 "$folder/dockerd.log" >&2 || true
    # Namespaces that containers leave behind are mounts.
    for mount in "$folder"/exec/netns/*; do
        umount "$mount" 2> /dev/null || true
    done
    rm -rf "$folder" || true
    exit "$status"
}

export DOCKER_HOST="unix://$folder/docker.sock" DOCKER_BUILDKIT=0
dockerd --data-root "$folder/data" --exec-root "$folder/exec" --host "$DOCKER_HOST" --pidfile "$folder/pid" \
    --bridge none --iptables=false --ip6tables=false --storage-driver overlay2 > "$folder/dockerd.log" 2>&1 &
dockerd=$!
until_true "a docker daemon" docker version
seen "docker $(docker version --format '{{.Server.Version}}')"

mkdir "$folder/run" "$folder/build"
if [[ -n "${COMPILE:-}" ]]; then
    mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev,ca-certificates,findutils bookworm "$folder/build"
    mkdir -p "$folder/build/usr/local"
    cp -a "$(rustc --print sysroot)" "$folder/build/usr/local/rust"
    # Where packages come from is this machine's own affair.
    for file in config.toml config; do
        [[ ! -e "${CARGO_HOME:-$HOME/.cargo}/$file" ]] ||
            install -D -m 644 "${CARGO_HOME:-$HOME/.cargo}/$file" "$folder/build/root/.cargo/$file"
    done
    path=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin
else
    mmdebstrap --quiet --variant=minbase bookworm "$folder/build"
    install -D -m 755 "$target/debug/secretwatch" "$folder/build/usr/local/prebuilt/secretwatch"
    install -D -m 755 /dev/stdin "$folder/build/usr/local/bin/cargo" <<'END'
#!/bin/sh
# Stands in for cargo: what it would build is there already.
case "$1" in
    build) install -D -m 755 /usr/local/prebuilt/secretwatch target/dist/secretwatch ;;
    tree) echo 'secretwatch v0|Apache-2.0'; echo 'none v0|Apache-2.0' ;;
esac
END
    # One crate, so that there is a licence to be found.
    install -D -m 644 "$project/LICENSE" "$folder/build/root/.cargo/registry/src/here/none-0/LICENSE"
    path=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
fi
tar -C "$folder/build" -c . | docker import --change "ENV PATH=$path" - build > /dev/null
rm -rf "$folder/build"
# No package's scripts run and nothing else is there, as in a distroless image.
mmdebstrap --quiet --variant=extract --include=libc6,libgcc-s1 bookworm "$folder/run"
install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$folder/run/etc/ssl/certs/ca-certificates.crt"
tar -C "$folder/run" -c . | docker import - run > /dev/null
seen "base images: $(docker images --format '{{.Repository}} {{.Size}}' | paste -s -d ,)"

docker build --quiet --network host --build-arg BUILD_IMAGE=build --build-arg RUN_IMAGE=run --tag secretwatch \
    "$project" > /dev/null
seen "built: $(docker images --format '{{.Size}}' secretwatch)"
! docker run --rm --network none --entrypoint /bin/sh secretwatch -c true 2> /dev/null || fail "there is a shell"
shape="$(docker inspect --format '{{.Config.User}} {{.Config.StopSignal}} {{json .Config.Volumes}}' secretwatch)"
[[ "$shape" == '65532:65532 SIGTERM {"/var/lib/secretwatch":{}}' ]] || fail "the image has $shape"
docker run --rm --network none --entrypoint /usr/bin/secretwatch secretwatch --version > /dev/null || fail "it does not start"
seen "no shell; user, signal and volume as they should be"

# The account stays up as long as its standard input is open.
mkfifo "$folder/input"
"$target/debug/examples/account" --events 20 --quota 0 < "$folder/input" > "$folder/account" &
account=$!
exec 9> "$folder/input"
until_true "an account" grep --quiet url "$folder/account"
url="$(grep -o '"url":"[^"]*"' "$folder/account" | cut -d '"' -f 4)"

starts() {
    docker run --detach --name watch --network host --read-only --cap-drop ALL --security-opt no-new-privileges \
        --health-interval 1s --volume "$1:/var/lib/secretwatch" --env AWS_ENDPOINT_URL="$url" --env AWS_REGION=us-east-1 \
        --env AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE --env AWS_SECRET_ACCESS_KEY=not-a-real-key \
        --env SECRETWATCH_CONFIG_TOML='poll = { interval = "1s" }' secretwatch > /dev/null
}
health_is() { [[ "$(docker inspect --format '{{.State.Health.Status}}' watch)" == "$1" ]]; }
ids() { docker logs watch 2> /dev/null | grep -v '"kind":"resolved"' | grep -o '"id":"[0-9a-f]*","incident"' | sort; }
has_passed() { docker logs watch 2>&1 | grep --quiet 'read_through=true'; }
stops() {
    local began=$SECONDS
    docker stop --time 20 watch > /dev/null
    [[ "$(docker inspect --format '{{.State.ExitCode}}' watch)" == 0 ]] || fail "it ended badly"
    ((SECONDS - began < 10)) || fail "it took $((SECONDS - began)) seconds to stop"
    seen "stopped in $((SECONDS - began)) seconds"
}

starts one
until_true "health" health_is healthy
until_true "a pass" has_passed
first="$(ids)"
[[ "$(wc -l <<< "$first")" -ge 10 && -z "$(uniq --repeated <<< "$first")" ]] || fail "alerts: $first"
seen "healthy, read-only and without capabilities; $(wc -l <<< "$first") alerts"
stops
docker rm watch > /dev/null

starts one
until_true "a pass" has_passed
[[ -z "$(ids)" ]] || fail "told again: $(ids)"
seen "started again on its volume: nothing is told twice"
stops
docker rm watch > /dev/null

starts two
until_true "a pass" has_passed
[[ "$(ids)" == "$first" ]] || fail "told on an empty volume: $(ids)"
seen "started on an empty volume: the same alerts with the same ids, and no others"
stops
