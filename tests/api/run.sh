#!/usr/bin/env bash
# The status page's JSON against its OpenAPI document, by schemathesis, and lists that are followed to their end.
#
# Needs cargo, python3 with venv, and PyPI. Everything listens on loopback. Ends with a line that says what was tried; the
# exit status is 1 if anything failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=${CARGO_TARGET_DIR:-target}/api/venv
. tests/venv.sh
mkdir -p "${venv%/venv}"
venv "$venv" tests/api/requirements.txt
cargo build --quiet --locked --bin secretwatch
exec "$venv/bin/python" tests/api/api.py "${CARGO_TARGET_DIR:-target}/debug/secretwatch" "$venv/bin/st"
