"""Measures `replay`, decompression alone and DuckDB over the same log files, in turns.

Called by run.sh. Each contestant is a process of its own, bound to one processor or two; what counts is the median of its
rounds. Processor time is told beside wall time, since a busy machine changes it less.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import records

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SEED = 20261125

# The same question to both, as far as they can be asked the same: which secrets are read how often.
QUERY = """
SELECT record.eventName, record.requestParameters.secretId, count(*)
FROM (SELECT unnest(Records) AS record FROM read_json('{files}/**/*.json.gz', format = 'unstructured',
    maximum_object_size = 67108864, columns = {{Records:
    'STRUCT(eventSource VARCHAR, eventName VARCHAR, requestParameters STRUCT(secretId VARCHAR))[]'}}))
WHERE record.eventSource = 'secretsmanager.amazonaws.com' GROUP BY ALL
"""

# Rules that look at every access and hardly ever fire; and the default, by which each read of 6,400 is in an alert.
QUIET = """
[[rule]]
name = "denied-reads"
events = ["GetSecretValue"]
outcome = "denied"
threshold = 5
window = "10m"
group_by = ["principal"]
"""
LOUD = ""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--files", type=int, default=400)
    options.add_argument("--records", type=int, default=1000, help="in each file")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--duckdb-rounds", type=int, default=1, help="it takes its time, and always the same")
    options = options.parse_args()

    folder = TARGET / "replay" / f"{SEED}-{options.files}-{options.records}"
    size = generated(folder, options)
    names = {"quiet": QUIET, "loud": LOUD}
    for name, rules in names.items():
        (folder / f"{name}.toml").write_text(rules)
    print(f"{options.files} files, {options.files * options.records:,} records, {size['raw'] / 1e6:.0f} MB, "
          f"{size['zipped'] / 1e6:.0f} MB zipped; load {os.getloadavg()[0]:.1f}\n")

    logs, program = str(folder / "logs"), str(TARGET / "release" / "secretwatch")
    inflate = str(TARGET / "replay" / "inflate" / "release" / "inflate")
    duckdb = [sys.executable, __file__, "duckdb", logs]

    def replay(rules, jobs):
        return [program, "replay", "-c", str(folder / f"{rules}.toml"), "--jobs", str(jobs), "--format", "json", logs]

    contestants = [
        ("decompression alone", [inflate, "--jobs", "1", logs], 1, options.rounds),
        ("`replay`, a rule that hardly fires", replay("quiet", 1), 1, options.rounds),
        ("`replay`, the default rule: every read alerts", replay("loud", 1), 1, options.rounds),
        ("DuckDB", [*duckdb, "1"], 1, options.duckdb_rounds),
        ("decompression alone", [inflate, "--jobs", "2", logs], 2, options.rounds),
        ("`replay`, a rule that hardly fires", replay("quiet", 2), 2, options.rounds),
        ("DuckDB", [*duckdb, "2"], 2, options.duckdb_rounds),
    ]
    runs = [[] for _ in contestants]
    for number in range(max(options.rounds, options.duckdb_rounds)):
        for place, (_, command, cores, rounds) in enumerate(contestants):
            if number < rounds:
                runs[place].append(run(command, cores))
    table(contestants, runs, size["raw"])


def generated(folder, options):
    """The files, written once; and how many bytes they hold."""
    note = folder / "size.json"
    if not note.exists():
        zipped, raw = records.write(folder / "logs", SEED, options.files, options.records)
        note.write_text(json.dumps({"zipped": zipped, "raw": raw}))
    return json.loads(note.read_text())


def run(command, cores):
    """Wall time, processor time and peak memory of one run on the first `cores` processors."""
    began = time.monotonic()
    child = subprocess.Popen(["taskset", "-c", "0" if cores == 1 else f"0-{cores - 1}", *command],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    if status != 0:
        sys.exit(f"{command} ended with {status}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def table(contestants, runs, raw):
    print("| | cores | wall | MB/s | processor time | MB/s | of decompression alone | × DuckDB | peak memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    # Of the one with as many cores: by processor time, and where there are more, by wall time.
    measured = {}
    for (what, _, cores, _), of_one in zip(contestants, runs):
        wall, cpu, memory = (statistics.median(figures) for figures in zip(*of_one))
        measured[what, cores] = (wall, cpu, memory)
    for (what, cores), (wall, cpu, memory) in measured.items():
        figure = 1 if cores == 1 else 0

        def beside(other):
            return measured[other, cores][figure] / (wall, cpu)[figure]

        print(f"| {what} | {cores} | {wall:.2f} s | {raw / wall / 1e6:,.0f} | {cpu:.2f} s | {raw / cpu / 1e6:,.0f} | "
              f"{beside('decompression alone'):.2f} | {beside('DuckDB'):.1f} | {memory / 2**20:.0f} MiB |")


def ask_duckdb(files, threads):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    rows = connection.execute(QUERY.format(files=files)).fetchall()
    print(len(rows), sum(count for *_, count in rows))


if sys.argv[1:2] == ["duckdb"]:
    ask_duckdb(sys.argv[2], int(sys.argv[3]))
else:
    main()
