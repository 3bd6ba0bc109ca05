#!/usr/bin/env bash
# Power cuts: what the program wrote and synced is recorded, and played back to random instants.
#
#   tests/power/run.sh                 220 instants
#   tests/power/run.sh --instants 50 --seed 7
#
# Needs cargo, python3 and strace. Everything listens on loopback. The exit status is 1 if anything failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo build --quiet --example account --bin secretwatch
exec python3 tests/power/power.py "$@"
