#!/usr/bin/env bash
# One pass at a time, as the timer starts it: each goes on where the last one ended, and nothing is told twice.
. "$(dirname "$0")/machine.sh"

unit=secretwatch-once.service
timer=secretwatch-once.timer

machine_is_prepared() {
    a_host_with_something_to_watch
    install -D -m 644 -t "$root/etc/systemd/system" "$project/systemd/$unit" "$project/systemd/$timer"
    # Every three seconds instead of every minute.
    install -D -m 644 /dev/stdin "$root/etc/systemd/system/$timer.d/try.conf" <<'END'
[Timer]
OnCalendar=
OnCalendar=*-*-* *:*:00/3
RandomizedDelaySec=0
END
}

passes() { inside journalctl --quiet --output cat "_SYSTEMD_UNIT=$unit" SECRETWATCH_SOURCE=self/us-east-1 --grep '^pass '; }
passes_are() { [[ "$(passes | wc -l)" -ge "$1" ]]; }

machine_boots
seen "booted"
inside systemctl enable --now --quiet account.service "$timer"
until_true "three passes" passes_are 3
inside systemctl stop "$timer"
until_true "the end of the last" inside sh -c "! systemctl is-active --quiet $unit"
same "result" "success 0" "$(shows "$unit" Result) $(shows "$unit" ExecMainStatus)"
! inside systemctl is-failed --quiet "$unit" || fail "a pass has failed"
seen "$(passes | wc -l) passes: $(passes | tail -n 1)"

ids="$(alert_ids "$unit" | sort)"
[[ "$(wc -l <<< "$ids")" -ge 10 && -z "$(uniq --repeated <<< "$ids")" ]] || fail "alerts: $ids"
seen "$(wc -l <<< "$ids") alerts, each once; state in $(inside readlink /var/lib/secretwatch)"
