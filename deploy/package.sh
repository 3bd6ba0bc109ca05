#!/usr/bin/env bash
# Makes the Debian package, and prints its path: builds the program, has it write its manual and completions, collects the
# licences of what is linked in, and calls cargo-deb (`cargo install cargo-deb --locked`).
#
#   deploy/package.sh            as it is shipped: profile `dist`
#   deploy/package.sh dev        the debug program, to try the package itself
set -euo pipefail
cd "$(dirname "$0")/.."

profile="${1:-dist}"
target="${CARGO_TARGET_DIR:-target}"
folder="$target/$profile"
[[ "$profile" != dev ]] || folder="$target/debug"

cargo build --locked --profile "$profile" --bin secretwatch >&2
made=target/package
rm -rf "$made"
mkdir -p "$made"
"$folder/secretwatch" man > "$made/secretwatch.1"
"$folder/secretwatch" completions bash > "$made/secretwatch.bash"
"$folder/secretwatch" completions zsh > "$made/_secretwatch"
"$folder/secretwatch" completions fish > "$made/secretwatch.fish"
# Without a time in it: the same sources give the same package.
deploy/licences.sh | gzip --best --no-name > "$made/THIRD-PARTY.txt.gz"

cp "$folder/secretwatch" "$made/secretwatch"
compress=()
if [[ "$profile" == dev ]]; then
    strip "$made/secretwatch"
    compress=(--fast)
fi
cargo deb --locked --no-build --no-strip "${compress[@]}"
