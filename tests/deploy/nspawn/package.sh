#!/usr/bin/env bash
# The package: installed, running, what it brings, removed, and purged without a trace.
#
#   tests/deploy/nspawn/package.sh PACKAGE.deb
. "$(dirname "$0")/machine.sh"

package="$(realpath "${1:?which package?}")"
unit=secretwatch.service

machine_is_prepared() {
    an_account_to_watch
    # The package brings one, and leaves what the operator wrote.
    rm "$root/etc/secretwatch/config.toml"
    install -m 644 "$package" "$root/root/secretwatch.deb"
}

machine_boots
seen "booted"
inside systemctl enable --now --quiet account.service

inside dpkg --install /root/secretwatch.deb > "$folder/dpkg" 2>&1 || { cat "$folder/dpkg" >&2; fail "it does not install"; }
seen "installed $(inside dpkg-query --show --showformat '${Package} ${Version} ${Architecture}, ${Installed-Size} KiB' secretwatch)"
same "service after the installation" "inactive disabled" \
    "$(shows "$unit" ActiveState) $(inside systemctl is-enabled "$unit" || true)"
for path in /usr/share/doc/secretwatch/{copyright,config.example.toml,THIRD-PARTY.txt.gz} \
    /usr/share/man/man1/secretwatch.1.gz /usr/share/bash-completion/completions/secretwatch \
    /usr/share/zsh/vendor-completions/_secretwatch /usr/share/fish/vendor_completions.d/secretwatch.fish \
    /usr/lib/systemd/system/secretwatch{.service,-once.service,-once.timer} /etc/secretwatch/config.toml; do
    # The machine's dpkg leaves documents out, as in most images; the package has them.
    [[ -e "$root$path" ]] || inside dpkg-query --listfiles secretwatch | grep --quiet --line-regexp "$path" ||
        fail "no $path"
done
inside secretwatch check || fail "the configuration that it brings is wrong"
inside systemctl enable --now --quiet "$unit"
same "state" "active" "$(shows "$unit" ActiveState)"
until_true "alerts" journal_has "$unit" --grep '"schema":"secretwatch.alert.v1"'
seen "it runs, by the configuration that it brought"

echo '# ours' >> "$root/etc/secretwatch/config.toml"
inside dpkg --install /root/secretwatch.deb > "$folder/dpkg" 2>&1 || fail "it does not install again"
same "after an update" "active" "$(shows "$unit" ActiveState)"
grep --quiet '^# ours$' "$root/etc/secretwatch/config.toml" || fail "an update has overwritten the configuration"
seen "installed again: it runs, and our configuration stays"

inside dpkg --remove secretwatch > "$folder/dpkg" 2>&1 || fail "it cannot be removed"
same "after removal" "inactive" "$(shows "$unit" ActiveState)"
[[ ! -e "$root/usr/bin/secretwatch" ]] || fail "the program is still there"
[[ -e "$root/etc/secretwatch/config.toml" ]] || fail "removal has taken the configuration"
inside dpkg --purge secretwatch > "$folder/dpkg" 2>&1 || fail "it cannot be purged"
[[ ! -e "$root/etc/secretwatch/config.toml" ]] || fail "a purge has left the configuration"
[[ -z "$(inside find / -xdev -name '*secretwatch*' -not -path '/usr/lib/secretwatch-test*' -not -path '/root/*' \
    -not -path '/var/lib/*' -not -path '/etc/secretwatch' -not -path '/run/*' -not -path '/proc/*' | tee "$folder/left")" ]] ||
    fail "left behind: $(cat "$folder/left")"
seen "removed, and purged; the state in /var/lib/private/secretwatch is the operator's to delete"
