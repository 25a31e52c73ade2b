# shellcheck shell=sh
# Creates, runs and deletes a state machine with the AWS CLI, whose path is $1.
set -eu
sfn() { "$aws" --cli-connect-timeout 300 --cli-read-timeout 300 stepfunctions "$@"; }
aws=$1
arn=$(sfn create-state-machine --name cli --role-arn arn:aws:iam::123456789012:role/r --query stateMachineArn --output text \
  --definition '{"StartAt":"P","States":{"P":{"Type":"Pass","Result":{"a":1},"End":true}}}')
run=$(sfn start-execution --state-machine-arn "$arn" --input '{}' --query executionArn --output text)
until [ "$(sfn describe-execution --execution-arn "$run" --query status --output text)" != RUNNING ]; do :; done
sfn describe-execution --execution-arn "$run" --query status --output text
sfn describe-execution --execution-arn "$run" --query output --output text
sfn get-execution-history --execution-arn "$run" --query 'length(events)' --output text
sfn delete-state-machine --state-machine-arn "$arn"
sfn start-execution --state-machine-arn "$arn" 2>&1 | sed -n 's/.*(\(StateMachine[A-Za-z]*\)).*/\1/p'
