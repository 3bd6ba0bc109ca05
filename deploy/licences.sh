#!/usr/bin/env bash
# Prints the licences of everything that is linked into the program: which crates those are, by `cargo tree`, and the
# texts that they bring themselves, equal ones once. It depends on Cargo.lock alone, so it is made where the program is
# built, and nobody has to keep it up to date. A crate without a text is named; one whose licence has come with no other
# crate either is an error, since somebody has to look before that is shipped.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=("${CARGO_HOME:-$HOME/.cargo}"/registry/src/*)
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cargo tree --locked --edges normal --prefix none --no-dedupe --format '{p}|{l}' |
    sed 's/ (proc-macro)//' | grep -v '^secretwatch ' | LC_ALL=C sort -u > "$work/crates"

while IFS='|' read -r crate licence; do
    name="${crate%% *}" version="${crate##* v}"
    texts=()
    for source in "${sources[@]}"; do
        [[ -d "$source/$name-$version" ]] || continue
        while IFS= read -r -d '' text; do
            texts+=("$text")
        done < <(find "$source/$name-$version" -maxdepth 1 -type f -size +0 \
            \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'unlicense*' \) -print0 |
            LC_ALL=C sort -z)
    done
    if ((${#texts[@]} == 0)); then
        printf '%s|%s\n' "$crate" "$licence" >> "$work/bare"
        continue
    fi
    for text in "${texts[@]}"; do
        tr -d '\r' < "$text" > "$work/text"
        sum="$(sha256sum < "$work/text" | cut -d ' ' -f 1)"
        [[ -e "$work/$sum.text" ]] || mv "$work/text" "$work/$sum.text"
        printf '%s\n' "$crate" >> "$work/$sum.crates"
    done
done < "$work/crates"

if [[ -e "$work/bare" ]]; then
    while IFS='|' read -r crate licence; do
        case "$licence" in
            *Apache-2.0*) known='Apache License' ;;
            *MIT*) known='Permission is hereby granted, free of charge' ;;
            *) known="$licence" ;;
        esac
        grep --quiet --no-messages --fixed-strings "$known" "$work"/*.text || {
            printf '%s brings no text of its licence, %s\n' "$crate" "$licence" >&2
            exit 1
        }
    done < "$work/bare"
fi

printf 'secretwatch holds the following software of others, under the licences named here.\n\n'
sed 's/|/: /' "$work/crates"
for crates in "$work"/*.crates; do
    printf '\n%080d\n' 0 | tr 0 =
    LC_ALL=C sort -u "$crates" | paste -s -d ,
    printf '\n'
    cat "${crates%.crates}.text"
done
