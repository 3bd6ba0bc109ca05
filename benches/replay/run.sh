#!/usr/bin/env bash
# `replay` beside decompression alone and beside DuckDB, over the same generated log files.
#
#   benches/replay/run.sh                      400 files of 1,000 records, seven rounds: some ten minutes
#   benches/replay/run.sh --files 20 --rounds 1
#
# Needs cargo, python3 with venv, PyPI, and taskset of util-linux. Prints a table; figures are medians of rounds in which
# all take turns, so compare within one run.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
venv=$target/replay/venv
. tests/venv.sh
venv "$venv" benches/replay/requirements.txt
cargo build --release --locked --quiet --bin secretwatch
cargo build --release --locked --quiet --manifest-path benches/replay/inflate/Cargo.toml --target-dir "$target/replay/inflate"
exec "$venv/bin/python" benches/replay/compare.py "$@"
