"""Holds the server to its OpenAPI document, and follows its lists to their end."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PROGRAM, SCHEMATHESIS = sys.argv[1:]
PATIENCE = 60
# Without positive_data_acceptance: no schema can say which texts are globs.
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance",
]


def get(url, path, method="GET", **headers):
    request = urllib.request.Request(url + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def of(url, path):
    status, body = get(url, path)
    assert status == 200, (path, status, body)
    return json.loads(body)


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            if holds():
                return
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.2)


def followed(url, path, key):
    """Everything in a list, page by page."""
    found, before = [], None
    while True:
        place = f"&before={urllib.parse.quote(str(before))}" if before is not None else ""
        page = of(url, f"{path}{place}")
        found += page[key]
        before = page["next"]
        if before is None:
            return found


def lists(url):
    """What is read while this runs is newer than the newest that is asked for here."""
    newest = of(url, "api/v1/accesses?limit=1")["accesses"][0]
    now = urllib.parse.quote(f"{newest['time']}/{newest['event_id']}")
    whole = of(url, f"api/v1/accesses?limit=1000&before={now}")["accesses"]
    paged = followed_from(url, "api/v1/accesses?limit=7", now)
    # A late event may have come in between.
    known = {it["event_id"] for it in whole}
    ids = [it["event_id"] for it in paged]
    assert len(ids) == len(set(ids)) and known <= set(ids), (len(known), len(ids))
    by_outcome = sum(
        len(of(url, f"api/v1/accesses?limit=1000&outcome={outcome}")["accesses"]) for outcome in ("success", "denied", "failed")
    )
    assert by_outcome >= len(whole), (by_outcome, len(whole))
    alerts = [it["id"] for it in followed(url, "api/v1/alerts?limit=1", "alerts")]
    assert len(alerts) == len(set(alerts)) >= 2, alerts


def followed_from(url, path, place):
    found = []
    while place is not None:
        page = of(url, f"{path}&before={place}")
        found += page["accesses"]
        place = page["next"] and urllib.parse.quote(page["next"])
    return found


def oddities(url):
    for path in ("", "metrics", "healthz", "api/v1/status"):
        status, body = get(url, path, method="HEAD")
        assert (status, body) == (200, b""), (path, status)
    assert get(url, "metrics", **{"Accept-Encoding": "br;q=x", "Accept": "image/*", "X-Odd": "\x01"[:0] + "y" * 4000})[0] == 200
    assert get(url, "api/v1/status", Host="evil.example")[0] == 421
    assert get(url, "metrics", method="POST")[0] == 405


def idlers(url):
    """More connections than there is room for, which say nothing, keep nobody out for longer than they may stay."""
    address = urllib.parse.urlsplit(url)
    idle = [socket.create_connection((address.hostname, address.port)) for _ in range(300)]
    begun = time.monotonic()
    assert get(url, "healthz")[0] == 200
    took = time.monotonic() - begun
    for connection in idle:
        connection.close()
    assert took < 20, took
    return took


def main():
    program = subprocess.Popen([PROGRAM, "demo"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = re.search(r"http://\S+", program.stdout.readline())[0]
        until("alerts", lambda: len(of(url, "api/v1/alerts")["alerts"]) >= 2)
        lists(url)
        oddities(url)
        took = idlers(url)
        said = subprocess.run(
            [SCHEMATHESIS, "--no-color", "run", url + "api/v1/openapi.json", "--checks", ",".join(CHECKS), "--seed", "7",
             "--max-examples", "60", "--continue-on-failure", "--warnings", "off", "--request-timeout", "15"],
            text=True, capture_output=True, timeout=400,
        )
        print(said.stdout if said.returncode else "", said.stderr, sep="", end="")
        cases = re.findall(r"(\d+) generated", said.stdout)
        print(f"lists, oddities and 300 idlers ({took:.1f} s) are right; schemathesis: exit {said.returncode}, {' '.join(cases)} cases")
        return said.returncode
    finally:
        program.terminate()
        program.wait()


sys.exit(main())
