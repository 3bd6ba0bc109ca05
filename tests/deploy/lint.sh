#!/usr/bin/env bash
# What is shipped for others to run it, read by tools that nobody here wrote: hadolint (Dockerfile), cfn-lint and checkov
# (Dockerfile, CloudFormation, Terraform), systemd-analyze (units). Each exception stands in the file that needs it, with
# its reason. Needs python3 with venv, PyPI, and systemd.
set -euo pipefail
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-target}"

# How exposed a unit may be, of ten.
exposure=1.2

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

venv="$target/deploy/venv"
. tests/venv.sh
venv "$venv" tests/deploy/requirements.txt

"$venv/bin/hadolint" Dockerfile
"$venv/bin/cfn-lint" deploy/ecs/cloudformation.yaml
for what in "dockerfile --file Dockerfile" "cloudformation --file deploy/ecs/cloudformation.yaml" \
    "terraform --directory deploy/ecs/terraform"; do
    # shellcheck disable=SC2086
    said="$("$venv/bin/checkov" --skip-download --compact --quiet --framework $what)" || fail "checkov: $said"
    [[ "$said" =~ Passed\ checks:\ [1-9] ]] || fail "checkov has checked nothing: $said"
done
echo "linters: nothing to say"

# verify exits well whatever it says, and looks for the program where the unit has it.
units="$(mktemp -d)"
trap 'rm -rf "$units"' EXIT
for unit in systemd/*; do
    sed "s#=/usr/bin/secretwatch#=$(realpath "$target")/debug/secretwatch#" "$unit" > "$units/$(basename "$unit")"
done
# Those two are newer than the systemd of some, which goes on without them.
said="$(systemd-analyze verify --man=no "$units"/* 2>&1 |
    grep -v "Unknown key '\(RestartSteps\|RestartMaxDelaySec\)'" || true)"
[[ -z "$said" ]] || fail "systemd-analyze verify: $said"
for unit in secretwatch.service secretwatch-once.service; do
    level="$(systemd-analyze security --offline=yes "systemd/$unit" 2> /dev/null |
        sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')"
    awk -v found="$level" -v most="$exposure" 'BEGIN { exit !(found != "" && found + 0 <= most) }' ||
        fail "$unit is exposed by ${level:-?}, more than $exposure"
    echo "$unit: exposure $level of 10"
done
