#!/usr/bin/env bash
# Second opinions on the simulated AWS account and on what the daemon sends.
#
#   tests/interop/run.sh              every part
#   tests/interop/run.sh account      boto3 reads the simulated account; moto answers the same questions
#   tests/interop/run.sh alert        secretwatch --once reads the simulated account and publishes to moto
#   tests/interop/run.sh formats      programs of those who receive messages read every format
#
# Needs cargo, python3 with venv, PyPI, and an Alertmanager (Debian: prometheus-alertmanager). Everything listens on
# loopback. Ends with `N passed, N failed`; the exit status is 1 if anything failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=${CARGO_TARGET_DIR:-target}/interop/venv
. tests/venv.sh
venv "$venv" tests/interop/requirements.txt
cargo build --quiet --example account --example formats --bin secretwatch
exec "$venv/bin/python" tests/interop/interop.py "$@"
