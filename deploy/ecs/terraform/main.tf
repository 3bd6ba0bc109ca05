# secretwatch as one task on Fargate, as cloudformation.yaml has it; README.md beside that file explains both.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0, < 7.0"
    }
  }
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  configuration = "arn:${data.aws_partition.here.partition}:ssm:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:parameter/${var.config_parameter}"

  secrets = concat(
    [{ name = "SECRETWATCH_CONFIG_TOML", valueFrom = local.configuration }],
    var.chat_url_secret_arn == null ? [] : [{ name = "SECRETWATCH_CHAT_URL", valueFrom = var.chat_url_secret_arn }],
  )
}

resource "aws_cloudwatch_log_group" "log" {
  #checkov:skip=CKV_AWS_158:a key of one's own is var.log_key_arn; CloudWatch encrypts with its own otherwise
  name_prefix       = "secretwatch-"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_key_arn
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.here.account_id]
    }
  }
}

# What the program itself may do: deploy/iam-policy.json.
data "aws_iam_policy_document" "task" {
  #checkov:skip=CKV_AWS_356:AWS lets neither LookupEvents nor ListSecrets be narrowed to some resources
  statement {
    sid       = "ReadTheEventHistory"
    actions   = ["cloudtrail:LookupEvents"]
    resources = ["*"]
  }
  statement {
    sid       = "ListSecretsForTheirArns"
    actions   = ["secretsmanager:ListSecrets"]
    resources = ["*"]
  }
  statement {
    sid       = "PublishAlerts"
    actions   = ["sns:Publish"]
    resources = [var.topic_arn]
  }
  # For `secretwatch doctor`, as a task with that command.
  statement {
    sid       = "LookAtTopics"
    actions   = ["sns:GetTopicAttributes"]
    resources = [var.topic_arn]
  }
  statement {
    sid       = "SeeWhoHasNotConfirmed"
    actions   = ["sns:ListSubscriptionsByTopic"]
    resources = [var.topic_arn]
  }
  statement {
    sid       = "FindTrails"
    actions   = ["cloudtrail:DescribeTrails"]
    resources = ["*"]
  }
  statement {
    sid       = "SeeWhetherTrailsLog"
    actions   = ["cloudtrail:GetTrailStatus"]
    resources = ["arn:${data.aws_partition.here.partition}:cloudtrail:*:${data.aws_caller_identity.here.account_id}:trail/*"]
  }
  dynamic "statement" {
    for_each = length(var.member_role_arns) > 0 ? [1] : []
    content {
      sid       = "ReadOtherAccounts"
      actions   = ["sts:AssumeRole"]
      resources = var.member_role_arns
    }
  }
}

# Mounting the file system is the task's own, too: only this access point, and not as root.
data "aws_iam_policy_document" "mount" {
  count = var.keep_state ? 1 : 0
  statement {
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [aws_efs_file_system.state[0].arn]
    condition {
      test     = "StringEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values   = [aws_efs_access_point.state[0].arn]
    }
  }
}

# What ECS may do before the program starts: fetch the image, the configuration and the secret, and write logs.
data "aws_iam_policy_document" "execution" {
  statement {
    actions   = ["ssm:GetParameters"]
    resources = [local.configuration]
  }
  dynamic "statement" {
    for_each = var.chat_url_secret_arn == null ? [] : [var.chat_url_secret_arn]
    content {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "task" {
  name_prefix        = "secretwatch-task-"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "task" {
  name   = "watch"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_iam_role_policy" "mount" {
  count  = var.keep_state ? 1 : 0
  name   = "keep-state"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.mount[0].json
}

resource "aws_iam_role" "execution" {
  name_prefix        = "secretwatch-execution-"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "execution" {
  name   = "configuration"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_ecs_task_definition" "secretwatch" {
  family                   = "secretwatch"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn

  volume {
    name = "state"
    dynamic "efs_volume_configuration" {
      for_each = var.keep_state ? [1] : []
      content {
        file_system_id     = aws_efs_file_system.state[0].id
        transit_encryption = "ENABLED"
        authorization_config {
          access_point_id = aws_efs_access_point.state[0].id
          iam             = "ENABLED"
        }
      }
    }
  }

  container_definitions = jsonencode([{
    name                   = "secretwatch"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    # The page and the delivery in hand get 15 seconds.
    stopTimeout = 30
    healthCheck = {
      command     = ["CMD", "/usr/bin/secretwatch", "health"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 120
    }
    mountPoints = [{ sourceVolume = "state", containerPath = "/var/lib/secretwatch", readOnly = false }]
    environment = [{ name = "AWS_REGION", value = data.aws_region.here.name }]
    secrets     = local.secrets
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.log.name
        awslogs-region        = data.aws_region.here.name
        awslogs-stream-prefix = "secretwatch"
        # Logs that cannot be written hold nothing up.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  }])
}

resource "aws_ecs_service" "secretwatch" {
  name             = "secretwatch"
  cluster          = var.cluster
  task_definition  = aws_ecs_task_definition.secretwatch.arn
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  desired_count    = 1

  # Two cannot share the state: the old one stops before the new one starts.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    assign_public_ip = false
    subnets          = var.subnets
    security_groups  = [aws_security_group.task.id]
  }

  depends_on = [aws_efs_mount_target.state, aws_iam_role_policy.task, aws_iam_role_policy.mount, aws_iam_role_policy.execution]
}

resource "aws_security_group" "task" {
  name_prefix = "secretwatch-task-"
  description = "secretwatch, which nobody connects to"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.task.id
  description       = "AWS, and webhooks"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "files" {
  count                        = var.keep_state ? 1 : 0
  security_group_id            = aws_security_group.task.id
  description                  = "The state"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  referenced_security_group_id = aws_security_group.files[0].id
}

resource "aws_security_group" "files" {
  count       = var.keep_state ? 1 : 0
  name_prefix = "secretwatch-state-"
  description = "The state of secretwatch"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "files" {
  count                        = var.keep_state ? 1 : 0
  security_group_id            = aws_security_group.files[0].id
  description                  = "The task"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  referenced_security_group_id = aws_security_group.task.id
}

resource "aws_efs_file_system" "state" {
  #checkov:skip=CKV_AWS_184:EFS encrypts with a key of its own; the state holds who read which secret, and no secret
  count     = var.keep_state ? 1 : 0
  encrypted = true
}

resource "aws_efs_access_point" "state" {
  count          = var.keep_state ? 1 : 0
  file_system_id = aws_efs_file_system.state[0].id
  posix_user {
    uid = 65532
    gid = 65532
  }
  root_directory {
    path = "/secretwatch"
    creation_info {
      owner_uid   = 65532
      owner_gid   = 65532
      permissions = "0700"
    }
  }
}

resource "aws_efs_mount_target" "state" {
  for_each        = var.keep_state ? toset(var.subnets) : []
  file_system_id  = aws_efs_file_system.state[0].id
  subnet_id       = each.value
  security_groups = [aws_security_group.files[0].id]
}
