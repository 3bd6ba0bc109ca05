output "task_role_arn" {
  description = "Whom roles in other accounts trust"
  value       = aws_iam_role.task.arn
}
