"""Power cuts.

The secretwatch binary runs under strace, over a simulated account and with a receiver that refuses some alerts. What it
wrote to its state directory is then played back to random instants. At each, what a completed fsync had covered is there;
of everything younger there may be all, nothing, or any part: whole writes in order, or single pages of 4 KiB in any
order; and names as of any moment since the last fsync of their folder. On what is left the binary runs again, and must
end well: every access in exactly one alert id, counting what the receiver had accepted before the cut. A third of the
instants lie shortly after the store has begun another segment of its log, where it is easiest to hurt.

To show that it would notice, some instants are played as if no fsync had done anything. One of those at least must fail.

Nothing here imports anything of ours: it sees system calls, HTTP and JSON.
"""

import argparse
import collections
import concurrent.futures
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")).resolve() / "debug"
PAGE = 4096
SEGMENT = 512 * 1024
BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
EVENTS = 140
RUN_SECS = 120
CALLS = "openat,creat,close,write,pwrite64,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir"
CONFIG = """state_dir = "{state}"
[poll]
requests_per_second = 2.0
recheck = "0s"
inventory = false
stale_after = "10h"
backfill = "3h"
[[rule]]
name = "read"
window = "30s"
hold = "0s"
group_by = ["secret", "principal"]
[notify.hook]
type = "webhook"
url = "{url}"
"""


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps every accepted alert, by path, with the time of its arrival."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.accepted = collections.defaultdict(list)
        self.refusals = random.Random(1)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        arrived = time.time()
        alert = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.strip("/")
        refused = path == "recorded" and self.server.refusals.random() < 0.2
        if not refused:
            self.server.accepted[path].append((arrived, alert["id"], [a["event_id"] for a in alert["accesses"]]))
        self.send_response(503 if refused else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def environment(account, home):
    return {
        "HOME": str(home), "PATH": os.environ["PATH"], "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": account,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not a real key",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def config(folder, state, url):
    path = folder / "config.toml"
    path.write_text(CONFIG.format(state=state, url=url))
    return path


# What was recorded -------------------------------------------------------------------------------------------------

LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
DONE = re.compile(r"^(\w+)\((.*)\) += (-?\d+|\?).*<(\d+\.\d+)>$")
FD = re.compile(r"^(\d+)<([^>]*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def plain(text):
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)


class Op:
    """One call: when it began and ended, and what it did to which path."""

    def __init__(self, kind, path, began, ended, at=0, data=b"", to=None):
        self.kind, self.path, self.began, self.ended = kind, path, began, ended
        self.at, self.data, self.to = at, data, to


def calls(trace):
    """The calls of a trace: name, arguments, result, begin, end. Those that others interrupted are put together."""
    unfinished = {}
    for line in trace.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        pid, at, rest = match[1], float(match[2]), match[3]
        if rest.endswith("<unfinished ...>"):
            unfinished[pid] = (at, rest[: -len("<unfinished ...>")].rstrip())
            continue
        resumed = re.match(r"^<\.\.\. \w+ resumed>(.*)$", rest)
        if resumed:
            if pid not in unfinished:
                continue
            at, begin = unfinished.pop(pid)
            rest = begin + resumed[1]
        done = DONE.match(rest)
        if done and done[3] != "?" and int(done[3]) >= 0:
            yield done[1], done[2], int(done[3]), at, at + float(done[4])


def recorded(trace, state):
    """What the calls did below `state`, in the order in which they began."""
    ops, offsets = [], {}
    below = lambda path: path == state or path.startswith(state + "/")
    for name, arguments, result, began, ended in calls(trace):
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(arguments)]
        on = FD.match(arguments)
        path = plain(on[2]) if on else None
        if name in ("openat", "creat"):
            path = texts[0].decode(errors="replace")
            offsets[result] = 0
            if below(path):
                if "O_CREAT" in arguments:
                    ops.append(Op("create", path, began, ended))
                if "O_TRUNC" in arguments:
                    ops.append(Op("cut", path, began, ended))
        elif name in ("mkdir", "mkdirat", "unlink", "unlinkat", "rmdir") and below(texts[0].decode()):
            ops.append(Op(name[:5], texts[0].decode(), began, ended))
        elif name.startswith("rename") and below(texts[0].decode()):
            ops.append(Op("rename", texts[0].decode(), began, ended, to=texts[1].decode()))
        elif path is None or not below(path):
            continue
        elif name == "write":
            at = offsets.get(int(on[1]), 0)
            offsets[int(on[1])] = at + result
            ops.append(Op("write", path, began, ended, at, texts[0][:result]))
        elif name == "pwrite64":
            ops.append(Op("write", path, began, ended, int(arguments.rsplit(",", 1)[1]), texts[0][:result]))
        elif name == "ftruncate":
            ops.append(Op("cut", path, began, ended, int(arguments.rsplit(",", 1)[1])))
        elif name in ("fsync", "fdatasync"):
            ops.append(Op("sync", path, began, ended))
    return sorted(ops, key=lambda op: op.began)


NAMES = ("create", "mkdir", "unlin", "rmdir", "rename")


def survivors(ops, instant, dice, synced):
    """What of `ops` is on the disk when the power goes at `instant`."""
    begun = [op for op in ops if op.began <= instant]
    syncs = collections.defaultdict(float)
    for op in begun if synced else []:
        if op.kind == "sync" and op.ended <= instant:
            syncs[op.path] = max(syncs[op.path], op.began)
    # Names change in order, and up to the last that a sync of its folder has covered for certain.
    names = [op for op in begun if op.kind in NAMES]
    certain = 0
    for place, op in enumerate(names):
        if op.ended <= syncs[str(pathlib.PurePath(op.path).parent)]:
            certain = place + 1
    kept = set(map(id, names[: dice.randint(certain, len(names))]))
    # A file's data, by the name that it had then: how much of what is not certain survives, and how.
    loose = collections.defaultdict(list)
    for op in begun:
        if op.kind in ("write", "cut"):
            if op.ended <= syncs[op.path]:
                kept.add(id(op))
            else:
                loose[op.path].append(op)
    pages = {}
    for writes in loose.values():
        how = dice.choice(["nothing", "all", "some", "pages", "pages"])
        if how in ("all", "some"):
            kept.update(map(id, writes[: len(writes) if how == "all" else dice.randint(0, len(writes))]))
        elif how == "pages":
            share = dice.random()
            for op in writes:
                kept.add(id(op))
                pages[id(op)] = [dice.random() < share for _ in range(len(op.data) // PAGE + 2)]
    return [(op, pages.get(id(op))) for op in begun if id(op) in kept]


def play(kept, state, place):
    """Makes the folder `place` what `state` was after `kept`."""
    files, folders = {}, {state}
    for op, pages in kept:
        if op.kind == "mkdir":
            folders.add(op.path)
        elif op.kind == "create":
            files.setdefault(op.path, bytearray())
        elif op.kind in ("unlin", "rmdir"):
            files.pop(op.path, None)
        elif op.kind == "rename" and op.path in files:
            files[op.to] = files.pop(op.path)
        elif op.path in files:
            content = files[op.path]
            if op.kind == "cut":
                content[op.at:] = b"" if len(content) > op.at else bytes(op.at - len(content))
                continue
            at = 0
            while at < len(op.data):
                end = min(len(op.data), at + PAGE - (op.at + at) % PAGE)
                if pages is None or pages[at // PAGE]:
                    content.extend(bytes(max(0, op.at + end - len(content))))
                    content[op.at + at : op.at + end] = op.data[at:end]
                at = end
    for folder in sorted(folders):
        (place / os.path.relpath(folder, state)).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        path = place / os.path.relpath(path, state)
        if path.parent.is_dir():
            # Nobody starts after a power cut without another boot.
            path.write_bytes(content.replace(BOOT, BOOT[::-1]))


# The judge -----------------------------------------------------------------------------------------------------------

def judge(told, expected):
    """What is wrong with these alerts, each with its time, id and accesses; nothing if all is well."""
    contents, holders = {}, {}
    for _, alert, accesses in told:
        if contents.setdefault(alert, accesses) != accesses:
            return f"the id {alert} with two contents"
        for access in accesses:
            if holders.setdefault(access, alert) != alert:
                return f"the access {access} in two alerts"
    missing = expected - holders.keys()
    return f"{len(missing)} accesses in no alert" if missing else None


class Trial:
    """A recording, and what it takes to play it back."""

    def __init__(self, folder, account, receiver):
        self.folder, self.account, self.receiver = folder, account, receiver
        self.state = str(folder / "state")
        self.ops, self.begun = [], []

    def record(self):
        path = config(self.folder, self.state, self.receiver.url("recorded"))
        for run, limit in enumerate((["--max-time", "2s"], [], [])):
            trace = self.folder / f"trace.{run}"
            strace = ["strace", "-f", "-y", "-xx", "-ttt", "-T", "-s", "4000000", "-e", f"trace={CALLS}", "-o", trace]
            program = [TARGET / "secretwatch", "--config", path, "--once", *limit]
            ended = subprocess.run([*strace, *program], env=environment(self.account, self.folder),
                                   capture_output=True, text=True, timeout=RUN_SECS)
            if ended.returncode not in (0, 1, 2):
                raise SystemExit(f"the recorded run ended with {ended.returncode}:\n{ended.stderr}")
            self.ops += recorded(trace, self.state)
        # The calls shortly after one that began a segment: places in the list.
        begun = [place for place, op in enumerate(self.ops)
                 if op.kind == "write" and op.path.endswith("/db/db") and op.at and op.at % SEGMENT == 0]
        self.begun = [place + step for place in begun for step in range(20) if place + step < len(self.ops)]
        self.told = self.receiver.accepted["recorded"]
        self.expected = {access for _, _, accesses in self.told for access in accesses}
        wrong = judge(self.told, self.expected)
        if wrong or len(self.expected) < EVENTS // 2 or not self.begun:
            raise SystemExit(f"the recording itself: {wrong}, {len(self.expected)} accesses, "
                             f"{len(self.begun)} calls beside a new segment")

    def strike(self, number, seed, synced):
        """Cuts the power once. Returns what went wrong, if anything."""
        dice = random.Random(f"{seed}/{number}/{synced}")
        op = self.ops[dice.choice(self.begun)] if dice.random() < 1 / 3 else dice.choice(self.ops)
        # Between two calls, or in the middle of one.
        instant = op.began + dice.random() * max(op.ended - op.began, 0.002)
        name = f"{'synced' if synced else 'unsynced'}-{number}"
        folder = self.folder / name
        state = folder / "state"
        play(survivors(self.ops, instant, dice, synced), self.state, state)
        path = config(folder, state, self.receiver.url(name))
        for arguments in (["--once"], ["store", "check"]):
            run = subprocess.run([TARGET / "secretwatch", "--config", path, *arguments], capture_output=True, text=True,
                                 env=environment(self.account, folder), timeout=RUN_SECS)
            if run.returncode != 0:
                return f"{name}: {' '.join(arguments)} ended with {run.returncode}: {run.stderr[-600:]} {run.stdout[-300:]}"
        before = [alert for alert in self.told if alert[0] <= instant]
        wrong = judge(before + self.receiver.accepted[name], self.expected)
        shutil.rmtree(folder)
        return f"{name}: {wrong}" if wrong else None


def strike_all(trial, instants, seed, synced):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        strikes = [pool.submit(trial.strike, number, seed, synced) for number in range(instants)]
        return [wrong for wrong in (strike.result() for strike in strikes) if wrong]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--instants", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    account = subprocess.Popen([TARGET / "examples" / "account", "--events", str(EVENTS), "--quota", "0"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as folder:
        listening = json.loads(account.stdout.readline())
        trial = Trial(pathlib.Path(folder), listening["url"], Receiver())
        trial.record()
        kinds = collections.Counter(op.kind for op in trial.ops)
        print(f"recorded {kinds['write']} writes and {kinds['sync']} fsyncs, {len(trial.told)} alerts accepted, "
              f"{len(trial.expected)} accesses")
        wrong = strike_all(trial, options.instants, options.seed, True)
        print(f"{options.instants} power cuts (seed {options.seed}): {len(wrong)} failed")
        for line in wrong[:10]:
            print(f"FAIL  {line}")
        teeth = strike_all(trial, max(20, options.instants // 10), options.seed, False)
        print(f"{max(20, options.instants // 10)} more as if no fsync had done anything: {len(teeth)} failed, as they should")
    account.stdin.close()
    account.wait(timeout=20)
    sys.exit(1 if wrong or not teeth else 0)


if __name__ == "__main__":
    main()
