"""What others' programs make of every message format.

`examples/formats` prints what is sent for a sample of every kind of alert, for names that were chosen to do harm, and
for alerts as long as they get. Each format is read by something that its receiver's side has published, or that reads
it in earnest: Slack's own SDK, Microsoft's schema of adaptive cards, the schema of OCSF, PagerDuty's client, a program
that hands CloudWatch alarms on, and an Alertmanager. Amazon Q has published no more than a page, whose form is checked
here by hand. Then the program itself posts to a receiver, whose signatures the library of Standard Webhooks verifies,
and to the Alertmanager.

A checker that finds nothing wrong with anything checks nothing: each is shown something wrong as well.
"""

import contextlib
import copy
import http.server
import importlib.util
import json
import logging
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import httpx2
import jsonschema
import pagerduty
import standardwebhooks
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from slack_sdk.models.blocks import Block

# How long an Alertmanager may take to come up, or to take in what it was sent.
READY_SECS = 20
SECRET = "whsec_c2VjcmV0d2F0Y2ggc2lnbnMgaXRz"


def samples(target):
    """Every line of the example, by format."""
    printed = subprocess.run([target / "examples" / "formats"], capture_output=True, text=True, check=True, timeout=60)
    by_format = {}
    for line in printed.stdout.splitlines():
        told = json.loads(line)
        by_format.setdefault(told["format"], []).append(told)
    return by_format


def wrong_by(validator, bodies):
    """What a schema finds wrong with `bodies`, the first of it for each."""
    found = []
    for body in bodies:
        if error := next(validator.iter_errors(body), None):
            found.append(f"/{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}")
    return found


def validator(schema):
    return jsonschema.validators.validator_for(schema)(schema)


def read_slack(checks, told):
    """Slack's SDK parses each block, holds it to its limits, and writes the same again."""
    different = []
    for message in (json.loads(line["text"]) for line in told):
        for given, block in zip(message["blocks"], Block.parse_all(message["blocks"]), strict=True):
            block.validate_json()
            if block.to_dict() != given:
                different.append(given)
    checks.equal("Slack's SDK writes every block as it read it", different, [])
    try:
        long = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
        Block.parse(long).validate_json()
        checks.holds("and refuses one that is too long", False)
    except Exception:  # noqa: BLE001, whatever it is, it was refused
        checks.holds("and refuses one that is too long", True)
    raw = json.dumps([json.loads(line["text"]) for line in told])
    checks.holds("nobody is mentioned", "<!" not in raw and "<@" not in raw)


def read_teams(checks, told):
    """Microsoft's schema, from a package that ships it."""
    folder = pathlib.Path(importlib.util.find_spec("adaptive_cards").origin).parent
    schema = validator(json.loads((folder / "schemas" / "schema-1.4.json").read_text()))
    cards = []
    for line in told:
        message = json.loads(line["text"])
        attachment = message["attachments"][0]
        checks_type = (message["type"], attachment["contentType"])
        if checks_type != ("message", "application/vnd.microsoft.card.adaptive"):
            checks.holds("the envelope is that of a Workflows webhook", False, checks_type)
        cards.append(attachment["content"])
    checks.equal("every card is an adaptive card", wrong_by(schema, cards), [])
    bad = copy.deepcopy(cards[0])
    bad["body"][0]["items"][0]["inlines"][0]["size"] = "Enormous"
    checks.holds("and a wrong one is noticed", wrong_by(schema, [bad]))
    longest = max(len(line["text"].encode()) for line in told)
    checks.holds("none is larger than Teams takes", longest <= 28 * 1024, longest)


def read_ocsf(checks, told):
    """The published schema, which knows every attribute and forbids others."""
    embedded = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.5.0"))
    schema = validator(embedded.get_class_schema("detection_finding", ["cloud"]))
    findings = [json.loads(line["text"]) for line in told]
    checks.equal("every finding is a Detection Finding of OCSF 1.5.0", wrong_by(schema, findings), [])
    for what, change in {
        "an unknown attribute": lambda finding: finding.update(sevrity=3),
        "a class of its own": lambda finding: finding.update(class_uid=9999),
        "no finding_info": lambda finding: finding.pop("finding_info"),
    }.items():
        bad = copy.deepcopy(findings[0])
        change(bad)
        checks.holds(f"and {what} is noticed", wrong_by(schema, [bad]))


class Recorder(http.server.BaseHTTPRequestHandler):
    """Takes every POST and keeps it."""

    def do_POST(self):  # noqa: N802, the base class's name
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def recorder():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.taken = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def read_pagerduty(checks, told):
    """PagerDuty's client sends the same events as they are."""
    events = [json.loads(line["text"]) for line in told]
    theirs = []

    def keep(request):
        """Stands where the network would be: PagerDuty's client speaks to nobody without TLS."""
        theirs.append(json.loads(request.content))
        return httpx2.Response(202, json={"status": "success", "dedup_key": "x"})

    for event in events:
        rest = {key: value for key, value in event.items() if key not in ("routing_key", "event_action", "dedup_key")}
        client = pagerduty.EventsApiV2Client(event["routing_key"], transport=httpx2.MockTransport(keep))
        client.send_event(event["event_action"], dedup_key=event["dedup_key"], **rest)
    different = [ours for ours, other in zip(events, theirs, strict=True) if ours != other]
    checks.equal("PagerDuty's client sends the same events", different, [])
    for event in (event for event in events if event["event_action"] == "trigger"):
        payload = event["payload"]
        sound = (
            payload["severity"] in ("critical", "error", "warning", "info")
            and 0 < len(payload["summary"]) <= 1024
            and payload["source"]
            and len(event["dedup_key"]) <= 255
            and len(json.dumps(event)) < 512 * 1024
        )
        if not sound:
            checks.holds("events keep PagerDuty's limits", False, event)


def read_alarms(checks, told):
    """A program that others run behind the topics of CloudWatch alarms."""
    os.environ.update(SLACK_BOT_TOKEN="x", SLACK_CHANNEL="x")
    logging.disable(logging.INFO)
    from cloudwatch_alarm_to_slack.entrypoint import CloudwatchAlarmNotifier
    from cloudwatch_alarm_to_slack.events.slack import Slack

    sent = []
    Slack.send_message = lambda self, attachment=None: sent.append(attachment)
    for line in told:
        CloudwatchAlarmNotifier.handle_event({"Records": [{"Sns": {"Message": line["text"], "Subject": line["subject"]}}]})
    fields = [{field["title"]: field["value"] for field in attachment[0]["fields"]} for attachment in sent]
    checks.equal("a program for CloudWatch alarms understands every one", len(fields), len(told))
    checks.equal("what it shows of the first", (fields[0]["Account"], fields[0]["Region"], fields[0]["Trigger"]), (
        "111122223333",
        "US East (Ohio)",
        "SUM of SecretAccesses GreaterThanOrEqualToThreshold 1 for 1 period(s) of 60 seconds.",
    ))
    colours = [attachment[0]["color"] for attachment in sent[:3]]
    checks.equal("and its state", colours, ["danger", "danger", "good"])


def read_amazon_q(checks, told):
    """By hand: the page that describes it is all that there is."""
    strange = []
    for line in told:
        body = json.loads(line["text"])
        content = body["content"]
        right = (
            (body["version"], body["source"], content["textType"]) == ("1.0", "custom", "client-markdown")
            and set(body) <= {"version", "source", "id", "content", "metadata"}
            and set(content) <= {"textType", "title", "description", "nextSteps", "keywords"}
            and set(body["metadata"]) <= {"threadId", "summary", "eventType", "relatedResources", "additionalContext"}
            and all(isinstance(step, str) and step for step in content.get("nextSteps", []))
            and content["title"]
            and content["description"]
        )
        if not right:
            strange.append(body)
    checks.equal("every notification has the form that Amazon Q takes", strange, [])


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def asked(url, body=None):
    """Status and JSON of an answer."""
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith(("[", "{")) else text
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


@contextlib.contextmanager
def alertmanager(folder):
    """Debian's, on loopback and without peers; its address, once it is ready."""
    port = free_port()
    config = pathlib.Path(folder) / "alertmanager.yml"
    config.write_text("route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")
    command = [
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: asked(f"{url}/-/ready")[0] == 200)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=READY_SECS)


def until(holds):
    """Waits for `holds`; whatever it raises meanwhile is no answer yet."""
    begun = time.monotonic()
    while time.monotonic() - begun < READY_SECS:
        with contextlib.suppress(OSError, ValueError):
            if holds():
                return True
        time.sleep(0.05)
    return False


def active(url):
    """The alerts that the Alertmanager takes for going on, by incident."""
    _, alerts = asked(f"{url}/api/v2/alerts?active=true")
    return {alert["labels"]["incident"]: alert for alert in alerts}


def read_alertmanager(checks, told, url):
    """A real one takes every alert, shows those that go on, and lets those go that are over."""
    answers = {asked(f"{url}/api/v2/alerts", line["text"])[0] for line in told}
    checks.equal("an Alertmanager takes every alert", answers, {200})
    checks.equal("and refuses one without labels", asked(f"{url}/api/v2/alerts", '[{"labels": {}}]')[0], 400)


def follow_an_incident(checks, told, url):
    """The samples are of a day that is over, so they are moved to the present; nothing else in them is touched."""
    opened, updated, resolved = (json.loads(line["text"]) for line in told[:3])
    incident = opened[0]["labels"]["incident"]
    now = time.time()
    for alert, ends in ((opened, now + 7 * 86_400), (updated, now + 7 * 86_400), (resolved, now - 1)):
        stamp = "%Y-%m-%dT%H:%M:%SZ"
        alert[0]["startsAt"] = time.strftime(stamp, time.gmtime(now - 60))
        alert[0]["endsAt"] = time.strftime(stamp, time.gmtime(ends))
    for what, alert, goes_on in (("opened", opened, True), ("updated", updated, True), ("resolved", resolved, False)):
        asked(f"{url}/api/v2/alerts", json.dumps(alert))
        checks.holds(f"after {what} it goes on: {goes_on}", until(lambda: (incident in active(url)) == goes_on))


def post_for_real(checks, account, one_pass, folder, url):
    """The program posts; the library of Standard Webhooks verifies, and the Alertmanager shows what is going on."""
    with recorder() as (hook, taken):
        config = pathlib.Path(folder) / "formats.toml"
        notifiers = "".join(
            f'[notify.{name}]\ntype = "webhook"\nurl = "{target}"\nformat = "{name}"\nsigning_secret_env = "SIGNING"\n'
            for name, target in [("json", hook), ("slack", hook), ("teams", hook), ("ocsf", hook),
                                 ("alertmanager", f"{url}/api/v2/alerts")]
        )
        config.write_text(
            f'state_dir = "{folder}/formats"\n[poll]\nrequests_per_second = 2.0\n'
            f'[[rule]]\nname = "read"\nevents = ["GetSecretValue"]\n{notifiers}'
        )
        done = one_pass(config, account, account.url, {"SIGNING": SECRET})
        checks.equal("a pass that posts in every format ends well", done.returncode, 0)
        if done.returncode:
            print(done.stderr[-4000:])
        library = standardwebhooks.Webhook(SECRET)
        for headers, body in taken:
            library.verify(body, {name.lower(): value for name, value in headers.items()})
        checks.holds("Standard Webhooks verifies every signature", taken, "nothing was posted")
        try:
            headers, body = taken[0]
            library.verify(body + b" ", {name.lower(): value for name, value in headers.items()})
            checks.holds("and refuses a body that was changed", False)
        except standardwebhooks.WebhookVerificationError:
            checks.holds("and refuses a body that was changed", True)
        alerts = [json.loads(body) for _, body in taken if b"secretwatch.alert.v1" in body]
        last = {alert["incident"]: alert["kind"] for alert in alerts}
        going_on = {incident for incident, kind in last.items() if kind != "resolved"}

        def shown():
            return {name for name, alert in active(url).items() if alert["labels"]["alertname"] == "read"}

        agrees = going_on and until(lambda: shown() == going_on)
        checks.holds("the Alertmanager shows exactly what goes on", agrees, f"{len(shown())} and {len(going_on)}")


def part_formats(checks, target, account, one_pass, folder):
    if shutil.which("prometheus-alertmanager") is None:
        raise FileNotFoundError("prometheus-alertmanager is not installed: apt-get install prometheus-alertmanager")
    told = samples(target)
    for name, read in {
        "slack": read_slack,
        "teams": read_teams,
        "ocsf": read_ocsf,
        "pagerduty": read_pagerduty,
        "cloudwatch-alarm": read_alarms,
        "amazon-q": read_amazon_q,
    }.items():
        with checks.part(name):
            read(checks, told[name])
    with checks.part("alertmanager"), alertmanager(folder) as url:
        read_alertmanager(checks, told["alertmanager"], url)
        follow_an_incident(checks, told["alertmanager"], url)
        with checks.part("for real"):
            post_for_real(checks, account, one_pass, folder, url)
