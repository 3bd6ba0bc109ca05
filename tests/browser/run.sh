#!/usr/bin/env bash
# The status page in a real browser, driven through WebDriver, over a simulated account.
#
#   tests/browser/run.sh                 every check
#   tests/browser/run.sh --screenshots   writes docs/images anew, from the demo
#
# Needs cargo, python3 with venv, PyPI, npm, and Debian's chromium and chromium-driver, which it installs where it may.
# Everything listens on loopback. Ends with `N passed, N failed`; the exit status is 1 if anything failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
command -v npm >/dev/null || missing+=(npm)
if ((${#missing[@]})); then
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

scratch=${CARGO_TARGET_DIR:-target}/browser
. tests/venv.sh
mkdir -p "$scratch"
venv "$scratch/venv" tests/browser/requirements.txt
if ! cmp -s tests/browser/package-lock.json "$scratch/package-lock.json"; then
    cp tests/browser/package.json tests/browser/package-lock.json "$scratch/"
    npm ci --prefix "$scratch" --silent --no-audit --no-fund
fi
cargo build --quiet --locked --example account --bin secretwatch
exec "$scratch/venv/bin/python" tests/browser/browser.py "$scratch" "$@"
