package stack

import (
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// key adds a KMS key and its alias for kms_key: create. The key policy delegates to IAM policies of the account and allows
// the services that encrypt or decrypt with the key: CloudWatch Logs for the log group, log delivery, and CloudWatch for
// alarms that publish to the topic.
func (b *builder) key() {
	if b.p.KMSKey != "create" {
		return
	}
	statement := func(id string, principal *value.Object, condition *value.Object, actions ...string) *value.Object {
		s := value.Obj("Sid", id, "Effect", "Allow", "Principal", principal, "Action", anys(actions), "Resource", "*")
		if condition != nil {
			s.Set("Condition", condition)
		}
		return s
	}
	logs := value.Obj("ArnEquals", value.Obj("kms:EncryptionContext:aws:logs:arn",
		sub("arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"+b.n.LogGroup)))
	b.resource(idKey, "AWS::KMS::Key", value.Obj(
		"Description", "Encrypts the definition, executions, logs and topic of "+b.n.Machine,
		"EnableKeyRotation", true,
		"PendingWindowInDays", value.Int(30),
		"KeyPolicy", policy(list[any](
			statement("Account", value.Obj("AWS", sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")), nil, "kms:*"),
			statement("LogGroup", value.Obj("Service", sub("logs.${AWS::Region}.${AWS::URLSuffix}")), logs,
				"kms:Decrypt*", "kms:Describe*", "kms:Encrypt*", "kms:GenerateDataKey*", "kms:ReEncrypt*"),
			statement("LogDelivery", value.Obj("Service", "delivery.logs.amazonaws.com"), ownAccount(), "kms:Decrypt*"),
			statement("Alarm", value.Obj("Service", "cloudwatch.amazonaws.com"), ownAccount(), "kms:Decrypt", "kms:GenerateDataKey*"),
		)),
		"Tags", b.tags(),
	), "DeletionPolicy", "Delete", "UpdateReplacePolicy", "Delete")
	b.resource(idAlias, "AWS::KMS::Alias", value.Obj("AliasName", b.n.Alias, "TargetKeyId", ref(idKey)))
	b.output("KeyArn", arnOf(idKey))
}

// keyARN returns the ARN of the key to use, as a string or a function of CloudFormation; nil if there is none.
func (b *builder) keyARN() any {
	switch b.p.KMSKey {
	case "":
		return nil
	case "create":
		return arnOf(idKey)
	}
	return b.p.KMSKey
}

// cleanup adds the cleanup state machine, which stops the jobs of an execution, and the rule that starts it after an execution
// was aborted or timed out: such an execution cannot run a state of its own that cleans up.
func (b *builder) cleanup() {
	if b.clean == "" {
		return
	}
	b.stateMachine(idClean, b.n.Clean, b.subbed[1])
	b.role(idEventRole, b.n.EventRole, "Starts the cleanup of "+b.n.Machine,
		trust(value.Obj("Service", "events.amazonaws.com"), "sts:AssumeRole", ownAccount()),
		list[any](allow("StartCleanUp", list[any](ref(idClean)), "states:StartExecution")))
	b.resource(idRule, "AWS::Events::Rule", value.Obj(
		"Name", b.n.Rule,
		"Description", clip("Cleans up after aborted and timed-out executions of "+b.n.Machine, 512),
		"State", "ENABLED",
		"EventPattern", value.Obj(
			"source", list[any]("aws.states"),
			"detail-type", list[any]("Step Functions Execution Status Change"),
			"detail", value.Obj("status", list[any](string(stepfn.Aborted), string(stepfn.TimedOut)), "stateMachineArn", list[any](ref(idMachine)))),
		"Targets", list[any](value.Obj("Id", "clean-up", "Arn", ref(idClean), "RoleArn", arnOf(idEventRole))),
		"Tags", b.tags(),
	))
	b.output("CleanUpStateMachineArn", ref(idClean))
}

// schedule adds the schedule that starts executions, and its role.
func (b *builder) schedule() {
	if b.p.Schedule == "" {
		return
	}
	b.role(idSchedRole, b.n.ScheduleRole, "Starts "+b.n.Machine+" on a schedule",
		trust(value.Obj("Service", "scheduler.amazonaws.com"), "sts:AssumeRole", ownAccount()),
		b.schedulePolicy())
	input := any(value.Obj())
	if len(b.p.ScheduleInput) > 0 {
		input = value.FromGo(b.p.ScheduleInput)
	}
	p := value.Obj(
		"Name", b.n.Schedule,
		"Description", clip("Starts "+b.n.Machine, 512),
		"State", "ENABLED",
		"ScheduleExpression", b.p.Schedule,
		"FlexibleTimeWindow", value.Obj("Mode", "OFF"),
		"Target", value.Obj("Arn", ref(idMachine), "RoleArn", arnOf(idSchedRole), "Input", literal(value.Text(input))),
	)
	if zone := b.p.ScheduleZone; zone != "" {
		p.Set("ScheduleExpressionTimezone", zone)
	}
	var extra []any
	if key := b.keyARN(); key != nil {
		p.Set("KmsKeyArn", key)
	} else {
		extra = skipped("CKV_AWS_297", "encrypted with an AWS owned key; set the parameter kms_key for another")
	}
	b.resource(idSchedule, "AWS::Scheduler::Schedule", p, extra...)
}

// schedulePolicy returns what the schedule is allowed to do: start the state machine, and decrypt its own input if there is a
// key.
func (b *builder) schedulePolicy() []any {
	out := list[any](allow("Start", list[any](ref(idMachine)), "states:StartExecution"))
	if key := b.keyARN(); key != nil {
		out = append(out, allow("ReadInput", list(key), "kms:Decrypt"))
	}
	return out
}

// alarm adds an alarm, for executions that failed or timed out, and the topic that sends it by email.
func (b *builder) alarm() {
	if b.p.AlarmEmail == "" {
		return
	}
	topic := value.Obj("TopicName", b.n.Topic, "DisplayName", clip("Failures of "+b.in.Pipeline, 100),
		"Subscription", list[any](value.Obj("Protocol", "email", "Endpoint", b.p.AlarmEmail)))
	var extra []any
	if key := b.keyARN(); key != nil {
		topic.Set("KmsMasterKeyId", key)
	} else {
		extra = skipped("CKV_AWS_26", "CloudWatch alarms cannot publish to a topic with the AWS managed key of SNS; set the parameter kms_key for a key that they can use")
	}
	topic.Set("Tags", b.tags())
	b.resource(idTopic, "AWS::SNS::Topic", topic, extra...)
	metric := func(id, name string) *value.Object {
		return value.Obj("Id", id, "ReturnData", false, "MetricStat", value.Obj("Stat", "Sum", "Period", value.Int(300),
			"Metric", value.Obj("Namespace", "AWS/States", "MetricName", name, "Dimensions",
				list[any](value.Obj("Name", "StateMachineArn", "Value", ref(idMachine))))))
	}
	b.resource(idAlarm, "AWS::CloudWatch::Alarm", value.Obj(
		"AlarmName", b.n.Alarm,
		"AlarmDescription", clip("An execution of "+b.n.Machine+" failed or timed out", 1024),
		"Metrics", list[any](metric("failed", "ExecutionsFailed"), metric("late", "ExecutionsTimedOut"),
			value.Obj("Id", "all", "Label", "failed or timed out", "ReturnData", true, "Expression", "FILL(failed, 0) + FILL(late, 0)")),
		"ComparisonOperator", "GreaterThanThreshold",
		"Threshold", value.Int(0),
		"EvaluationPeriods", value.Int(1),
		"TreatMissingData", "notBreaching",
		"AlarmActions", list[any](ref(idTopic)),
		"Tags", b.tags(),
	))
	b.output("AlarmTopicArn", ref(idTopic))
}
