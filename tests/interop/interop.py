"""Second opinions, from programs that others wrote.

Part "account": boto3, AWS's own client for Python, reads the simulated account and must find what was put there; the
same wrong questions are then put to moto, another simulation of AWS, and both must refuse them with the same code.

Part "alert": the secretwatch binary makes one pass over the simulated account and publishes to moto's SNS, which hands
on to a queue; every read secret must be in exactly one alert there.

Part "formats", in a file of its own: every message format, read by programs of those who receive it.

Nothing here imports anything of ours: it sees processes, HTTP and JSON.
"""

import collections
import contextlib
import datetime
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

import boto3
import botocore.config
import botocore.exceptions
from moto.server import ThreadedMotoServer

import formats

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug"
REGION = "us-east-1"
KEYS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
# How long one pass of the daemon, and the end of a process, may take.
PASS_SECS = 120
END_SECS = 20


class Checks:
    """Counts what holds and what does not, and says each once."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def holds(self, what, condition, found=""):
        if condition:
            self.passed += 1
            print(f"ok    {what}")
        else:
            self.failed += 1
            print(f"FAIL  {what}  {found}")

    def equal(self, what, found, expected):
        self.holds(what, found == expected, f"found {found!r}, expected {expected!r}")

    @contextlib.contextmanager
    def part(self, name):
        """An exception is one failure; what follows it in the part is not reached, and the next part is."""
        print(f"-- {name}")
        try:
            yield
        except Exception as error:  # noqa: BLE001, whatever it is, it is a failed check
            self.holds(name, False, f"{type(error).__name__}: {error}")


class Account:
    """The simulated account as a process; what it says first, and what it says last."""

    def __init__(self, *options):
        command = [TARGET / "examples" / "account", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.holds = json.loads(self.process.stdout.readline())
        self.url = self.holds["url"]

    def end(self):
        rest, _ = self.process.communicate(timeout=END_SECS)
        return json.loads(rest)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def client(service, url, region=REGION, retries=10, **keys):
    config = botocore.config.Config(retries={"mode": "standard", "total_max_attempts": retries})
    return boto3.client(service, endpoint_url=url, region_name=region, config=config, **(keys or KEYS))


def code_of(call):
    """The code of the error that `call` raises, or "ok"."""
    try:
        call()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return "ok"


def at(second):
    return datetime.datetime.fromtimestamp(second, datetime.timezone.utc)


def read_history(checks, account):
    trail = client("cloudtrail", account.url)
    put = account.holds["events"]
    found = [event for page in trail.get_paginator("lookup_events").paginate() for event in page["Events"]]
    checks.equal("the paginator finds every event once", sorted(e["EventId"] for e in found), sorted(e["id"] for e in put))
    times = [event["EventTime"] for event in found]
    checks.holds("newest comes first", times == sorted(times, reverse=True))
    by_id = {event["id"]: event for event in put}
    wrong = [event["EventId"] for event in found if not item_agrees(event, by_id[event["EventId"]])]
    checks.equal("items and records say what was put", wrong, [])

    middle = put[len(put) // 2]["time"]
    page = trail.lookup_events(StartTime=at(middle), EndTime=at(middle))
    expected = sorted(event["id"] for event in put if event["time"] == middle)
    checks.equal("both bounds are inclusive", sorted(event["EventId"] for event in page["Events"]), expected)

    attribute = [{"AttributeKey": "EventName", "AttributeValue": "DescribeSecret"}]
    pages = trail.get_paginator("lookup_events").paginate(LookupAttributes=attribute)
    described = sum(len(page["Events"]) for page in pages)
    checks.equal("an attribute selects", described, sum(event["name"] == "DescribeSecret" for event in put))

    token = trail.lookup_events(MaxResults=1)["NextToken"]
    for what, call in [
        ("garbage", lambda: trail.lookup_events(NextToken="garbage")),
        ("another's token", lambda: trail.lookup_events(MaxResults=2, NextToken=token)),
    ]:
        checks.equal(f"{what} is no token", code_of(call), "InvalidNextTokenException")
    backwards = code_of(lambda: trail.lookup_events(StartTime=at(middle), EndTime=at(middle - 1)))
    checks.equal("time goes forward", backwards, "InvalidTimeRangeException")

    impatient = client("cloudtrail", account.url, retries=1)
    codes = {code_of(impatient.lookup_events) for _ in range(5)}
    checks.equal("the quota refuses the impatient", codes - {"ok"}, {"ThrottlingException"})


def item_agrees(item, put):
    record = json.loads(item["CloudTrailEvent"])
    names_secret = put["secret"] in (record["errorMessage"] if put["denied"] else record["requestParameters"]["secretId"])
    return (
        names_secret
        and record["eventID"] == item["EventId"]
        and item["EventName"] == record["eventName"] == put["name"]
        and item["EventTime"].timestamp() == put["time"]
        and item["EventSource"] == "secretsmanager.amazonaws.com"
        and ("errorCode" in record) == put["denied"]
    )


def read_secrets(checks, account):
    secrets = client("secretsmanager", account.url)
    expected = [(secret["name"], secret["arn"]) for secret in account.holds["secrets"]]
    pages = secrets.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 5})
    listed = [(secret["Name"], secret["ARN"]) for page in pages for secret in page["SecretList"]]
    checks.equal("secrets are listed in pages", listed, expected)
    name, arn = expected[0]
    checks.equal("a value is read", secrets.get_secret_value(SecretId=arn)["Name"], name)
    trail = client("cloudtrail", account.url)
    newest = json.loads(trail.lookup_events(MaxResults=1)["Events"][0]["CloudTrailEvent"])
    checks.equal("and left a record", newest.get("requestParameters"), {"secretId": arn})
    batch = secrets.batch_get_secret_value(SecretIdList=[name, "interop/none"])
    checks.equal("a batch reads and reports", (len(batch["SecretValues"]), len(batch["Errors"])), (1, 1))


def assume(checks, account):
    sts = client("sts", account.url)
    wanted = {"RoleArn": account.holds["role_arn"], "RoleSessionName": "interop"}
    checks.equal("a role asks for its external id", code_of(lambda: sts.assume_role(**wanted)), "AccessDenied")
    given = sts.assume_role(**wanted, ExternalId=account.holds["external_id"])["Credentials"]
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    checks.equal("the role is in its own account", client("sts", account.url, **keys).get_caller_identity()["Account"], "444455556666")
    events = client("cloudtrail", account.url, **keys).lookup_events()["Events"]
    checks.equal("with a history of its own", events, [])


def publish(checks, account):
    sns = client("sns", account.url)
    topic = account.holds["topic_arn"]
    severity = {"severity": {"DataType": "String", "StringValue": "high"}}
    text = 'two\nlines & <some> "ünïcode" + 100 %'
    sent = sns.publish(TopicArn=topic, Subject="ALARM", Message=text, MessageAttributes=severity)
    fifo = {"TopicArn": account.holds["fifo_topic_arn"], "Message": "x", "MessageGroupId": "g", "MessageDeduplicationId": "1"}
    checks.equal("FIFO swallows a repetition", sns.publish(**fifo)["MessageId"], sns.publish(**fifo)["MessageId"])
    attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    counted = attributes["SubscriptionsConfirmed"], attributes["SubscriptionsPending"]
    checks.equal("subscriptions are counted", counted, ("1", "1"))
    listed = [s["SubscriptionArn"] for s in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]
    checks.equal("a pending one says so", listed[1], "PendingConfirmation")
    return {"message_id": sent["MessageId"], "subject": "ALARM", "body": text, "attributes": {"severity": "high"}}


# Where moto is not like AWS: our code, moto's. It lets an empty message pass, which AWS refuses, and lends an error
# from SQS for a FIFO message without a group, where its own PublishBatch has the code that AWS uses.
DIFFERENCES = {
    "an empty message": ("InvalidParameter", "ok"),
    "a FIFO message without a group": ("InvalidParameter", "MissingParameter"),
}


def compare_with_moto(checks, account, other):
    """The same questions, most of them wrong, to both."""
    answers = collections.defaultdict(list)
    for url in (account.url, other):
        sns, secrets = client("sns", url, retries=1), client("secretsmanager", url, retries=1)
        topic = sns.create_topic(Name="compared")["TopicArn"]
        fifo = sns.create_topic(Name="compared.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
        secrets.create_secret(Name="compared", SecretString="x")
        for what, call in {
            "a plain message": lambda: sns.publish(TopicArn=topic, Message="x"),
            "an unknown topic": lambda: sns.publish(TopicArn=topic + "x", Message="x"),
            "attributes of an unknown topic": lambda: sns.get_topic_attributes(TopicArn=topic + "x"),
            "a long subject": lambda: sns.publish(TopicArn=topic, Message="x", Subject="x" * 101),
            "a long message": lambda: sns.publish(TopicArn=topic, Message="x" * 262_145),
            "an empty message": lambda: sns.publish(TopicArn=topic, Message=""),
            "a FIFO message without a group": lambda: sns.publish(TopicArn=fifo, Message="x", MessageDeduplicationId="1"),
            "a FIFO message without an id": lambda: sns.publish(TopicArn=fifo, Message="x", MessageGroupId="g"),
            "a FIFO message": lambda: sns.publish(
                TopicArn=fifo, Message="x", MessageGroupId="g", MessageDeduplicationId="1"
            ),
            "a FIFO name without FIFO": lambda: sns.create_topic(Name="other.fifo"),
            "an unknown secret": lambda: secrets.get_secret_value(SecretId="none"),
            "a description of an unknown secret": lambda: secrets.describe_secret(SecretId="none"),
            "a secret that is there already": lambda: secrets.create_secret(Name="compared", SecretString="x"),
        }.items():
            answers[what].append(code_of(call))
    for what, codes in answers.items():
        if what in DIFFERENCES:
            checks.equal(f"moto still differs about {what}", tuple(codes), DIFFERENCES[what])
        else:
            checks.equal(f"moto agrees about {what}", codes[0], codes[1])


def part_account(checks):
    with Account("--events", "1000", "--port", "0") as account, moto() as other:
        published = None
        with checks.part("history"):
            read_history(checks, account)
        with checks.part("secrets"):
            read_secrets(checks, account)
        with checks.part("roles"):
            assume(checks, account)
        with checks.part("topics"):
            published = publish(checks, account)
        with checks.part("moto"):
            compare_with_moto(checks, account, other)
        with checks.part("end"):
            messages = account.end()["messages"]
            first = {name: messages[0][name] for name in ("message_id", "subject", "body", "attributes")}
            checks.equal("what was published arrived as it was sent", first, published)
            checks.equal("the repetition was counted", messages[1]["duplicates"], 1)


CONFIG = """\
state_dir = {state_dir}

[poll]
requests_per_second = 2.0
backfill = "1h"

[[rule]]
name = "secret-is-read"
description = "A secret's value was read, or somebody tried"
severity = "high"
events = ["GetSecretValue"]
secrets = ["interop/*"]
threshold = 1
window = "1m"
group_by = ["secret"]

[notify.queue]
type = "sns"
topic_arn = "{topic_arn}"
format = "json"

[status]
listen = ""
"""


def queue_for_topic(url):
    """A topic, and a queue that gets what is published to it."""
    sns, sqs = client("sns", url), client("sqs", url)
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, lambda: drain(sqs, queue)


def drain(sqs, queue):
    """Every notification in the queue, as SNS wraps it."""
    found = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def one_pass(config, account, moto_url, variables=()):
    """`secretwatch --once`, with CloudTrail and everything else here and SNS at moto."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SECRETWATCH_"))}
    environment |= {
        "AWS_ENDPOINT_URL": account.url,
        "AWS_ENDPOINT_URL_CLOUDTRAIL": account.url,
        "AWS_ENDPOINT_URL_SNS": moto_url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **dict(variables),
    }
    command = [TARGET / "secretwatch", "--once", "--config", config]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PASS_SECS, check=False)


def accesses_in(notifications):
    alerts = [json.loads(notification["Message"]) for notification in notifications]
    return alerts, [access["event_id"] for alert in alerts for access in alert["accesses"]]


def part_alert(checks):
    options = ("--events", "120", "--port", "0", "--repeats", "0.2")
    with Account(*options) as account, moto() as other, tempfile.TemporaryDirectory() as folder:
        with checks.part("one pass"):
            topic, drained = queue_for_topic(other)
            config = pathlib.Path(folder) / "config.toml"
            config.write_text(CONFIG.format(state_dir=json.dumps(f"{folder}/state"), topic_arn=topic))
            done = one_pass(config, account, other)
            checks.equal("it ends well", done.returncode, 0)
            if done.returncode:
                print(done.stderr[-4000:])
            expected = sorted(event["id"] for event in account.holds["events"] if event["name"] == "GetSecretValue")
            notifications = drained()
            alerts, found = accesses_in(notifications)
            counted = collections.Counter(found)
            off = [event_id for event_id in {*expected, *found} if counted[event_id] != expected.count(event_id)]
            checks.holds("every read is in exactly one alert", not off, f"{len(off)} of {len(expected)} are not: {off[:3]}")
            checks.equal("alerts are of the published schema", {a["schema"] for a in alerts}, {"secretwatch.alert.v1"})
            ids = [alert["id"] for alert in alerts]
            checks.holds("no alert came twice", ids and len(set(ids)) == len(ids), ids)
            attributes = [
                {value["Value"] for value in notification.get("MessageAttributes", {}).values()}
                for notification in notifications
            ]
            carried = all(alert["id"] in values for alert, values in zip(alerts, attributes))
            checks.holds("each carries its id as an attribute", bool(alerts) and carried)
            outcomes = {a["event_id"]: a["outcome"] for alert in alerts for a in alert["accesses"]}
            denied = {event["id"] for event in account.holds["events"] if event["denied"]}
            told = {event_id for event_id, outcome in outcomes.items() if outcome == "denied"}
            checks.holds("denied reads are told as denied", told and told == denied & set(expected), told ^ denied)
        with checks.part("another pass"):
            done = one_pass(config, account, other)
            checks.equal("it ends well too", done.returncode, 0)
            checks.equal("and tells nothing again", accesses_in(drained())[1], [])
        with checks.part("end"):
            end = account.end()
            checks.holds("the quota was used and not strained", end["calls"] and not end["strained"], end)


def part_formats(checks):
    with Account("--events", "60", "--port", "0") as account, tempfile.TemporaryDirectory() as folder:
        formats.part_formats(checks, TARGET, account, one_pass, folder)


PARTS = {"account": part_account, "alert": part_alert, "formats": part_formats}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        sys.exit(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    checks = Checks()
    for name in wanted:
        with checks.part(name):
            PARTS[name](checks)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed or not checks.passed else 0)


if __name__ == "__main__":
    main()
