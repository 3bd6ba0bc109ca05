#!/usr/bin/env bash
# Alert rules, their tests, the scrape configuration of the README and the dashboard, by Prometheus' own tool. Every metric
# that is named there has to be one of docs/status.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=deploy/prometheus
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! command -v promtool >/dev/null; then
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends prometheus >/dev/null
fi

quietly() { "$@" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; exit 1; }; }

quietly promtool check rules "$folder/secretwatch.rules.yaml"
quietly promtool test rules "$folder/secretwatch.rules.test.yaml"

# Each alert has a case in which it fires.
for alert in $(sed -n 's/^ *- alert: //p' "$folder/secretwatch.rules.yaml"); do
    grep -A1 "alertname: $alert\$" "$folder/secretwatch.rules.test.yaml" | grep -q 'exp_alerts:$' ||
        { echo "$alert never fires in its tests" >&2; exit 1; }
done

# What the README shows, with the files that it names at hand.
sed -n '/^```yaml$/,/^```$/p' "$folder/README.md" | sed '1d;$d' >"$scratch/prometheus.yml"
sed -i "s|/etc/prometheus/secretwatch.rules.yaml|$PWD/$folder/secretwatch.rules.yaml|" "$scratch/prometheus.yml"
touch "$scratch/token"
sed -i "s|/etc/prometheus/secretwatch-token|$scratch/token|" "$scratch/prometheus.yml"
quietly promtool check config "$scratch/prometheus.yml"

python3 - "$folder" "$scratch" <<'PYTHON'
import json, pathlib, re, sys

folder, scratch = map(pathlib.Path, sys.argv[1:])
dashboard = json.loads((folder / "grafana-dashboard.json").read_text())
panels = dashboard["panels"]
ids = [panel["id"] for panel in panels]
assert len(ids) == len(set(ids)), "two panels have one id"
for panel in panels:
    assert panel["title"] and panel["description"], f"panel {panel['id']} says too little of itself"
taken = set()
for panel in panels:
    at = panel["gridPos"]
    cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
    assert at["x"] + at["w"] <= 24 and not cells & taken, f"{panel['title']} lies over another"
    taken |= cells
expressions = [target["expr"] for panel in panels for target in panel["targets"]]
expressions += [note["expr"] for note in dashboard["annotations"]["list"]]
documented = set(re.findall(r"^\| `([a-z_]+)` \| (?:counter|gauge|histogram)", pathlib.Path("docs/status.md").read_text(), re.M))
assert len(documented) > 10, documented
named = set(re.findall(r"secretwatch_[a-z_]+", " ".join(expressions) + (folder / "secretwatch.rules.yaml").read_text()))
for name in named:
    bare = re.sub(r"_(bucket|sum|count)$", "", name.removeprefix("secretwatch_"))
    assert bare in documented, f"{name} is no metric of docs/status.md"
unseen = documented - {re.sub(r"_(bucket|sum|count)$", "", name.removeprefix("secretwatch_")) for name in named}
assert not unseen, f"neither rules nor dashboard show {unseen}"
rules = [
    {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "5m").replace("$instance", ".*")}
    for number, expr in enumerate(expressions)
]
(scratch / "panels.json").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
PYTHON
quietly promtool check rules "$scratch/panels.json"

echo "rules, their tests, scrape configuration and dashboard are right"
