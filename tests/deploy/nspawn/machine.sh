# A throw-away machine with a systemd of its own: Debian's smallest root in a folder that is gone afterwards, booted by
# systemd-nspawn, with a network that has nothing but loopback. Sourced by the tests beside it.
#
#   machine_boots        boots it; it ends, and its folder with it, when the shell does
#   inside COMMAND…      runs something in it
#   until_true TEXT COMMAND…   waits until the command succeeds, or fails with TEXT and what the machine has said
#
# Needs root, systemd-container and mmdebstrap; `tests/deploy/run.sh` installs them.

set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
project="$(cd "$here/../../.." && pwd)"
# The root is made once; cargo's folder is what nobody commits and everybody may delete.
cache="${CARGO_TARGET_DIR:-$project/target}/deploy"

# How long anything may take, in seconds.
patience=60

machine_boots() {
    mkdir -p "$cache"
    if [[ ! -s "$cache/root.tar" ]]; then
        mmdebstrap --quiet --variant=minbase --format=tar --include=systemd,systemd-sysv,dbus,ca-certificates \
            bookworm "$cache/root.tar.new"
        mv "$cache/root.tar.new" "$cache/root.tar"
    fi
    folder="$(mktemp -d "$cache/machine.XXXXXX")"
    trap machine_ends EXIT
    root="$folder/root"
    mkdir "$root"
    tar -xf "$cache/root.tar" -C "$root"
    # Else it takes this for its first boot, and asks questions.
    tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
    machine_is_prepared
    # The process group is its own, so that an interrupt in the terminal reaches only this shell.
    setsid systemd-nspawn --quiet --directory="$root" --machine="secretwatch-$$" --register=no --keep-unit \
        --private-network --boot --console=pipe systemd.firstboot=off systemd.unit=multi-user.target \
        > "$folder/console" 2>&1 < /dev/null &
    nspawn=$!
    until_true "an init that runs" leader_is_there
    until_true "a machine that has booted" has_booted
}

# What the booted machine is to find; a test may say it anew.
machine_is_prepared() { :; }

leader_is_there() {
    leader="$(pgrep --parent "$nspawn" | head -n 1)"
    [[ -n "$leader" ]]
}

has_booted() {
    case "$(inside systemctl is-system-running 2>&1)" in
        running | degraded) return 0 ;;
        *) return 1 ;;
    esac
}

inside() {
    nsenter --target "$leader" --mount --pid --cgroup --ipc --uts --net -- "$@"
}

until_true() {
    local what="$1" started=$SECONDS
    shift
    until "$@" > /dev/null 2>&1; do
        if ((SECONDS - started > patience)); then
            fail "waited in vain for $what"
        fi
        sleep 0.2
    done
}

machine_tells() {
    if [[ -n "${leader:-}" ]]; then
        inside journalctl --no-pager --lines 60 -o short-monotonic >&2 || true
    else
        cat "$folder/console" >&2 || true
    fi
}

machine_ends() {
    local status=$?
    trap - EXIT
    ((status == 0)) || machine_tells
    if [[ -n "${nspawn:-}" ]]; then
        # SIGRTMIN+4 powers a machine off; it has nothing to lose.
        kill -KILL "$leader" 2> /dev/null || true
        wait "$nspawn" 2> /dev/null || true
    fi
    rm -rf "$folder"
    exit "$status"
}

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Says what was seen, with the seconds since the test began.
seen() {
    printf '%4ds  %s\n' "$SECONDS" "$*"
}

# Fails unless both are equal.
same() {
    [[ "$2" == "$3" ]] || fail "$1: expected $2, found $3"
}

# The program that is tried, and the simulated account that it watches: what cargo has built for its tests.
binary="${SECRETWATCH_BINARY:-${CARGO_TARGET_DIR:-$project/target}/debug/secretwatch}"
account="${CARGO_TARGET_DIR:-$project/target}/debug/examples/account"

# Puts the program, an account with reads in its history, and a monitor that waits for a heartbeat into the machine.
a_host_with_something_to_watch() {
    install -D -m 755 "$binary" "$root/usr/bin/secretwatch"
    an_account_to_watch
}

an_account_to_watch() {
    install -D -m 755 "$account" "$root/usr/lib/secretwatch-test/account"
    install -D -m 644 -t "$root/etc/systemd/system" "$here"/units/*
    install -D -m 600 /dev/stdin "$root/etc/secretwatch/environment" <<'END'
AWS_ENDPOINT_URL=http://127.0.0.1:4566
AWS_REGION=us-east-1
AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE
AWS_SECRET_ACCESS_KEY=not-a-real-key
END
    install -D -m 644 /dev/stdin "$root/etc/secretwatch/config.toml" <<'END'
[poll]
interval = "1s"

[notify.stdout]
type = "stdout"
END
}

# A property of a unit.
shows() {
    inside systemctl show --value --property "$2" "$1"
}

# Whether the journal has something of this unit: `journal_has UNIT [journalctl's arguments]`.
journal_has() {
    local unit="$1"
    shift
    [[ -n "$(inside journalctl --quiet --no-pager --output cat "_SYSTEMD_UNIT=$unit" "$@")" ]]
}

# The ids of the alerts that a unit has printed, a line each.
alert_ids() {
    inside journalctl --quiet --no-pager --output cat "_SYSTEMD_UNIT=$1" |
        sed -n 's/.*"schema":"secretwatch.alert.v1","id":"\([0-9a-f]*\)".*/\1/p'
}
