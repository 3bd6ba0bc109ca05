#!/usr/bin/env bash
# What is shipped for others to run it, tried: linters and units, and in a throw-away machine with a systemd of its own the
# service, the timer, and the package. A few minutes, most of them the first time. Ends with `N passed, N failed`.
#
#   tests/deploy/run.sh          all of that; the package where cargo-deb is installed
#   tests/deploy/docker.sh       the image; see there
#
# Needs root for the machine, Debian or Ubuntu, and PyPI. Installs systemd-container and mmdebstrap.
set -uo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v systemd-nspawn > /dev/null || missing+=(systemd-container)
command -v mmdebstrap > /dev/null || missing+=(mmdebstrap)
if ((${#missing[@]})); then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
nice cargo build --quiet --locked --bin secretwatch --example account || exit 1

passed=0 failed=0
try() {
    printf '\n-- %s\n' "$*"
    if "$@"; then
        ((passed += 1))
    else
        ((failed += 1))
        printf 'FAILED: %s\n' "$*"
    fi
}
try tests/deploy/lint.sh
try tests/deploy/nspawn/service.sh
try tests/deploy/nspawn/once.sh
if command -v cargo-deb > /dev/null; then
    package="$(deploy/package.sh dev | tail -n 1)"
    try tests/deploy/nspawn/package.sh "$package"
else
    printf '\n-- cargo-deb is not installed: the package is not tried\n'
fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
