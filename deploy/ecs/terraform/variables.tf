variable "image" {
  description = "The image, by digest, so that what runs is what was tried"
  type        = string
}

variable "cluster" {
  description = "ARN of the ECS cluster"
  type        = string
}

variable "vpc_id" {
  type = string
}

variable "subnets" {
  description = "Private subnets with a way to AWS and to your webhooks (NAT, or endpoints), each in another zone"
  type        = list(string)
}

variable "topic_arn" {
  description = "The SNS topic that the configuration names"
  type        = string
}

variable "config_parameter" {
  description = "Name of the SSM parameter with the configuration, without its first slash"
  type        = string
}

variable "member_role_arns" {
  description = "Roles in other accounts that the configuration names"
  type        = list(string)
  default     = []
}

variable "chat_url_secret_arn" {
  description = "A secret in Secrets Manager with the URL of a webhook, for url_env = \"SECRETWATCH_CHAT_URL\""
  type        = string
  default     = null
}

variable "keep_state" {
  description = "Whether the state outlives the task, on EFS"
  type        = bool
  default     = true
}

variable "log_retention_days" {
  type    = number
  default = 365
}

variable "log_key_arn" {
  description = "A KMS key for the log group; by default CloudWatch's own"
  type        = string
  default     = null
}
