"""Writes log files as CloudTrail delivers them, full of records like those of a busy account.

Records have about 1.5 KB and the members, in the order, that AWS gives them: of 17 services as they share a usual
account's trail, one in fifty of Secrets Manager. The same seed gives the same files, byte for byte. Nothing in them is
anybody's: ids, addresses and names are made up here.
"""

import gzip
import io
import json
import pathlib
import random

ACCOUNT = "111122223333"
REGION = "us-east-1"
# 2026-05-27T00:00:00Z
START = 1_779_840_000

# Calls by service, each with how often it is made among those of other services.
CALLS = [
    ("sts.amazonaws.com", "AssumeRole", 24),
    ("kms.amazonaws.com", "Decrypt", 20),
    ("kms.amazonaws.com", "GenerateDataKey", 6),
    ("ec2.amazonaws.com", "DescribeInstances", 9),
    ("ec2.amazonaws.com", "DescribeNetworkInterfaces", 5),
    ("s3.amazonaws.com", "GetBucketAcl", 5),
    ("s3.amazonaws.com", "GetBucketLocation", 3),
    ("dynamodb.amazonaws.com", "DescribeTable", 4),
    ("logs.amazonaws.com", "CreateLogStream", 5),
    ("monitoring.amazonaws.com", "DescribeAlarms", 3),
    ("ssm.amazonaws.com", "GetParameter", 4),
    ("ssm.amazonaws.com", "UpdateInstanceInformation", 4),
    ("lambda.amazonaws.com", "GetFunction20150331v2", 2),
    ("ecr.amazonaws.com", "BatchGetImage", 2),
    ("ecs.amazonaws.com", "DescribeTasks", 2),
    ("autoscaling.amazonaws.com", "DescribeAutoScalingGroups", 2),
    ("elasticloadbalancing.amazonaws.com", "DescribeTargetHealth", 3),
    ("sns.amazonaws.com", "GetTopicAttributes", 1),
    ("sqs.amazonaws.com", "CreateQueue", 1),
    ("rds.amazonaws.com", "DescribeDBInstances", 2),
    ("iam.amazonaws.com", "GetRolePolicy", 2),
    ("iam.amazonaws.com", "PutRolePolicy", 1),
]
SECRETS_MANAGER = "secretsmanager.amazonaws.com"
SHARE = 0.02
AGENTS = [
    "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.4 md/GOOS#linux md/GOARCH#amd64 api/secretsmanager#1.35.4 m/E,n,u",
    "aws-sdk-java/2.31.63 md/io#sync md/http#Apache ua/2.1 os/Linux#6.1.141-155.222.amzn2023.x86_64 lang/java#21.0.7 "
    "md/OpenJDK_64-Bit_Server_VM#21.0.7+6-LTS md/vendor#Amazon.com_Inc. md/en_US exec-env/AWS_ECS_FARGATE cfg/retry-mode#legacy m/D,N,e",
    "Boto3/1.40.1 md/Botocore#1.40.1 ua/2.1 os/linux#5.10.238-234.956.amzn2.x86_64 md/arch#x86_64 lang/python#3.13.5 "
    "md/pyimpl#CPython exec-env/AWS_Lambda_python3.13 m/b,Z,D cfg/retry-mode#standard Botocore/1.40.1",
    "APN/1.0 HashiCorp/1.0 Terraform/1.12.2 (+https://www.terraform.io) terraform-provider-aws/6.3.0 "
    "(+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.36.5 ua/2.1 os/linux lang/go#1.23.10",
]
SERVICES = ["ec2.amazonaws.com", "lambda.amazonaws.com", "ecs-tasks.amazonaws.com", "autoscaling.amazonaws.com"]
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"],
     "Resource": ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]}]}, indent=2)


class Trail:
    """Records of one account, in the order in which they happened."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.now = START
        self.secrets = [f"prod/{team}/{kind}" for team in ("checkout", "payments", "reports", "search", "mailer")
                        for kind in ("postgres", "redis", "api-key", "tls", "smtp", "sftp", "jwt", "webhook")]
        self.calls = [(source, name) for source, name, _ in CALLS]
        self.weights = [weight for _, _, weight in CALLS]

    def letters(self, alphabet, length):
        return "".join(self.random.choices(alphabet, k=length))

    def uuid(self):
        text = f"{self.random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{text[16:20]}-{text[20:]}"

    def key(self, prefix):
        return prefix + self.letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)

    def time(self, at):
        seconds = at % 86_400
        day = 27 + (at - START) // 86_400
        return f"2026-05-{day:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"

    def identity(self):
        """Who it was; mostly somebody who has assumed a role."""
        if self.random.random() < 0.12:
            return {"type": "AWSService", "invokedBy": self.random.choice(SERVICES)}
        role = f"app-{self.random.randrange(60)}"
        session = self.random.choice([f"i-{self.random.getrandbits(64):017x}"[:19], f"{role}-worker", "ci-deploy"])
        principal = self.key("AROA")
        return {
            "type": "AssumedRole",
            "principalId": f"{principal}:{session}",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
            "accountId": ACCOUNT,
            "accessKeyId": self.key("ASIA"),
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": principal,
                    "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
                    "accountId": ACCOUNT,
                    "userName": role,
                },
                "webIdFederationData": {},
                "attributes": {"creationDate": self.time(self.now - 1000), "mfaAuthenticated": "false"},
                "ec2RoleDelivery": "2.0",
            },
        }

    def details(self, source, name):
        """What was asked for, what came back, and which resources it touched."""
        number = self.random.getrandbits(64)
        if source == SECRETS_MANAGER:
            secret = self.random.choice(self.secrets)
            if self.random.random() < 0.05:
                return None, None, None
            return {"secretId": secret}, None, None
        if name == "AssumeRole":
            role = f"arn:aws:iam::{ACCOUNT}:role/app-{number % 60}"
            asked = {"roleArn": role, "roleSessionName": f"i-{number:017x}"[:19], "durationSeconds": 3600}
            answer = {
                "credentials": {
                    "accessKeyId": self.key("ASIA"),
                    "sessionToken": self.letters("ABCDEFGHIJKLMNOPabcdefghijklmnop0123456789+/", 180) + "==",
                    "expiration": "May 27, 2026, 11:45:54 PM",
                },
                "assumedRoleUser": {
                    "assumedRoleId": f"{self.key('AROA')}:i-{number:017x}"[:41],
                    "arn": role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/"),
                },
            }
            return asked, answer, [{"accountId": ACCOUNT, "type": "AWS::IAM::Role", "ARN": role}]
        if source == "kms.amazonaws.com":
            key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self.uuid()}"
            asked = {"encryptionContext": {"aws:s3:arn": f"arn:aws:s3:::reports-{number % 40}/2026/05/{number:x}"},
                     "keyId": key, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
            return asked, None, [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}]
        if source == "ec2.amazonaws.com":
            items = [{"name": "instance-state-name", "valueSet": {"items": [{"value": "running"}, {"value": "pending"}]}},
                     {"name": "tag:Name", "valueSet": {"items": [{"value": f"web-{number % 500}"}]}}]
            return {"instancesSet": {}, "filterSet": {"items": items}, "maxResults": 1000}, None, None
        if source == "s3.amazonaws.com":
            bucket = f"reports-{number % 40}"
            asked = {"bucketName": bucket, "Host": f"{bucket}.s3.{REGION}.amazonaws.com", "acl": ""}
            return asked, None, [{"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}]
        if name == "PutRolePolicy":
            return {"roleName": f"app-{number % 60}", "policyName": "reports", "policyDocument": POLICY}, None, None
        if name == "GetParameter":
            return {"name": f"/prod/service-{number % 90}/url", "withDecryption": True}, None, None
        if name == "UpdateInstanceInformation":
            asked = {"instanceId": f"i-{number:017x}"[:19], "agentVersion": "3.3.2299.0", "agentStatus": "Active",
                     "platformType": "Linux", "platformName": "Amazon Linux", "platformVersion": "2023",
                     "iPAddress": "10.0.14.7", "computerName": f"ip-10-0-14-{number % 250}.ec2.internal"}
            return asked, None, None
        return {"name": f"service-{number % 300}", "maxResults": 100, "includeDetails": False}, None, None

    def record(self):
        self.now += self.random.choices([0, 1, 2], [7, 2, 1])[0]
        if self.random.random() < SHARE:
            names = ["GetSecretValue", "DescribeSecret", "ListSecrets", "PutSecretValue"]
            source, name = SECRETS_MANAGER, self.random.choices(names, [80, 14, 4, 2])[0]
        else:
            source, name = self.random.choices(self.calls, self.weights)[0]
        identity = self.identity()
        asked, answer, resources = self.details(source, name)
        is_service = identity["type"] == "AWSService"
        address = f"10.{self.random.randrange(4)}.{self.random.randrange(256)}.{self.random.randrange(256)}"
        record = {
            "eventVersion": "1.11",
            "userIdentity": identity,
            "eventTime": self.time(self.now),
            "eventSource": source,
            "eventName": name,
            "awsRegion": REGION,
            "sourceIPAddress": identity["invokedBy"] if is_service else address,
            "userAgent": identity["invokedBy"] if is_service else self.random.choice(AGENTS),
        }
        if source == SECRETS_MANAGER and asked is None:
            role = identity.get("arn", "")
            record["errorCode"] = "AccessDenied"
            record["errorMessage"] = (f"User: {role} is not authorized to perform: secretsmanager:{name} on resource: "
                                      f"{self.random.choice(self.secrets)} because no identity-based policy allows the "
                                      f"secretsmanager:{name} action")
        record |= {
            "requestParameters": asked,
            "responseElements": answer,
            "requestID": self.uuid(),
            "eventID": self.uuid(),
            "readOnly": not name.startswith(("Put", "Create", "Update")),
        }
        if resources:
            record["resources"] = resources
        record |= {"eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": ACCOUNT}
        if is_service:
            record["sharedEventID"] = self.uuid()
        record["eventCategory"] = "Management"
        if not is_service:
            host = source.replace(".amazonaws.com", f".{REGION}.amazonaws.com")
            record["tlsDetails"] = {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256",
                                    "clientProvidedHostHeader": host}
        return record


def write(folder, seed, files, records_each):
    """Writes the files below `folder` and returns how many bytes they hold, compressed and not."""
    trail = Trail(seed)
    zipped = raw = 0
    for number in range(files):
        records = [trail.record() for _ in range(records_each)]
        text = json.dumps({"Records": records}, separators=(",", ":"), ensure_ascii=False).encode()
        stamp = trail.time(trail.now)
        day = pathlib.Path(folder, "AWSLogs", ACCOUNT, "CloudTrail", REGION, *stamp[:10].split("-"))
        day.mkdir(parents=True, exist_ok=True)
        name = f"{ACCOUNT}_CloudTrail_{REGION}_{stamp[:16].replace('-', '').replace(':', '')}Z_{number:016}.json.gz"
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as zip:
            zip.write(text)
        (day / name).write_bytes(packed.getvalue())
        zipped += packed.tell()
        raw += len(text)
    return zipped, raw
