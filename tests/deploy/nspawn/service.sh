#!/usr/bin/env bash
# The daemon as the unit runs it: ready, watched, reloaded, restarted when it hangs, stopped; its credential, its user,
# and what the journal knows of it.
. "$(dirname "$0")/machine.sh"

unit=secretwatch.service
token=8c0a9d5ehunter2

machine_is_prepared() {
    a_host_with_something_to_watch
    install -D -m 644 -t "$root/etc/systemd/system" "$project/systemd/$unit"
    # A secret that only root can read, by way of systemd.
    install -D -m 600 /dev/stdin "$root/etc/secretwatch/ping-url" <<< "http://127.0.0.1:8080/$token"
    cat >> "$root/etc/secretwatch/config.toml" <<END

[heartbeat]
url_file = "/run/credentials/$unit/ping-url"
every = "1s"
END
    install -D -m 644 /dev/stdin "$root/etc/systemd/system/$unit.d/try.conf" <<END
[Service]
LoadCredential=ping-url:/etc/secretwatch/ping-url
# So that nobody waits for minutes here.
WatchdogSec=6s
RestartSec=1s
END
}

status_is() { [[ "$(shows "$unit" StatusText)" == $1 ]]; }
pid_is_not() { [[ "$(shows "$unit" MainPID)" != "$1" && "$(shows "$unit" ActiveState)" == active ]]; }
process() { inside cat "/proc/$(shows "$unit" MainPID)/status" | sed -n "s/^$1:[[:space:]]*//p"; }

machine_boots
seen "booted"
inside systemctl enable --now --quiet account.service monitor.socket

inside systemctl start "$unit"
same "state after start" "active running" "$(shows "$unit" ActiveState) $(shows "$unit" SubState)"
seen "started; start returned when it was ready"
until_true "a status that says that it was read through" status_is 'Watching 1 source, which is fresh; *; read through at 20*Z'
seen "status: $(shows "$unit" StatusText)"

same "privileges" "1" "$(process NoNewPrivs)"
same "capabilities" "0000000000000000" "$(process CapEff)"
same "system call filter" "2" "$(process Seccomp)"
inside test -d /var/lib/private/secretwatch/db || fail "no state in StateDirectory"
same "mode of the state" "700" "$(inside stat -c %a /var/lib/private/secretwatch)"
uid="$(process Uid | cut -f 1)"
((uid >= 61184 && uid <= 65519)) || fail "user $uid is none of those that systemd makes for a service"
seen "user $uid, no privileges, state in /var/lib/private/secretwatch"

until_true "a heartbeat at the URL of the credential" inside grep --quiet "GET /$token " /run/pings
! journal_has "$unit" --grep "$token" || fail "the journal tells the secret"
seen "credential read, and told to nobody"

until_true "alerts" journal_has "$unit" --grep '"schema":"secretwatch.alert.v1"'
journal_has "$unit" PRIORITY=6 SYSLOG_IDENTIFIER=secretwatch SECRETWATCH_SOURCE=self/us-east-1 ||
    fail "no fields in the journal"
inside journalctl --quiet --output cat "_SYSTEMD_UNIT=$unit" SECRETWATCH_SOURCE=self/us-east-1 |
    grep --quiet '^pass source=self/us-east-1 requests=' || fail "no message, or one with a time of its own"
seen "journal: $(inside journalctl --quiet --output cat --lines 1 "_SYSTEMD_UNIT=$unit" SECRETWATCH_SOURCE=self/us-east-1)"

pid="$(shows "$unit" MainPID)"
sed -i 's/interval = "1s"/interval = "2s"/' "$root/etc/secretwatch/config.toml"
inside systemctl reload "$unit"
until_true "the new configuration" journal_has "$unit" --grep 'hung up'
until_true "a status after it" status_is 'Watching 1 source, which is fresh; *; read through at 20*Z'
cp "$root/etc/secretwatch/config.toml" "$folder/good.toml"
echo 'intervall = "2s"' >> "$root/etc/secretwatch/config.toml"
inside systemctl reload "$unit"
until_true "a refusal" journal_has "$unit" PRIORITY=3 --grep 'the new configuration is refused'
until_true "a status that says so" status_is 'the new configuration is wrong, * goes on; Watching 1 source, which is fresh; *; read through at 20*Z'
cp "$folder/good.toml" "$root/etc/secretwatch/config.toml"
same "process after two reloads" "$pid active" "$(shows "$unit" MainPID) $(shows "$unit" ActiveState)"
journal_has "$unit" PRIORITY=3 --grep 'config.toml:[0-9:]* .*intervall' || fail "the journal does not say what was wrong"
seen "reloaded; a wrong configuration was refused: $(inside journalctl --quiet --output cat --lines 1 "_SYSTEMD_UNIT=$unit" PRIORITY=3 --grep intervall)"

before="$(alert_ids "$unit" | sort)"
inside sh -c "kill -STOP $pid"
stopped=$SECONDS
until_true "a restart by the watchdog" pid_is_not "$pid"
same "restarts" "1" "$(shows "$unit" NRestarts)"
seen "restarted $((SECONDS - stopped)) seconds after SIGSTOP, with WatchdogSec=6s"
until_true "a status after the restart" status_is 'Watching 1 source, which is fresh; *; read through at 20*Z'
same "alerts" "$before" "$(alert_ids "$unit" | sort)"
[[ "$(wc -l <<< "$before")" -ge 10 && -z "$(uniq --repeated <<< "$before")" ]] || fail "alerts: $before"
seen "$(wc -l <<< "$before") alerts, each once"

stopped=$SECONDS
inside systemctl stop "$unit"
same "end" "success 0" "$(shows "$unit" Result) $(shows "$unit" ExecMainStatus)"
journal_has "$unit" --grep '^stopped$' || fail "it did not say that it stopped"
((SECONDS - stopped < 10)) || fail "it took $((SECONDS - stopped)) seconds to stop"
seen "stopped in $((SECONDS - stopped)) seconds"

echo 'intervall = "2s"' >> "$root/etc/secretwatch/config.toml"
! inside systemctl start "$unit" 2> /dev/null || fail "a wrong configuration was taken"
same "end" "exit-code 78 failed" "$(shows "$unit" Result) $(shows "$unit" ExecMainStatus) $(shows "$unit" ActiveState)"
seen "a wrong configuration stays down, with status 78"
