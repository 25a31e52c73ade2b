package stack

import (
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Logical IDs of resources. None of them is one of the published module's, so that an update of its stack replaces all
// resources and never changes the type or properties of an existing one.
const (
	idKey, idAlias          = "Key", "KeyAlias"
	idLogs, idMachineRole   = "LogGroup", "StateMachineRole"
	idMachine, idClean      = "StateMachine", "CleanUpStateMachine"
	idPodRole, idAccess     = "PodRole", "AccessEntry"
	idRule, idEventRole     = "AbortedRule", "AbortedRuleRole"
	idSchedule, idSchedRole = "Schedule", "ScheduleRole"
	idTopic, idAlarm        = "FailureTopic", "FailureAlarm"
)

// substituted returns a definition, on one line, as the string of Fn::Sub. It escapes the $ of ${...} in JSON, because not
// all tools that read templates know the escape of Fn::Sub, and it escapes dynamic references (see literal). The partition
// in the ARNs of task resources becomes that of the stack, and the certificate authority becomes a reference to the
// template's parameter. A Definition object would need no escapes, but CloudFormation does not preserve the order of its
// keys, and cfn-lint only accepts the partition aws in it.
func (b *builder) substituted(definition []byte) (string, error) {
	o, err := value.ParseObject(definition)
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(literal(value.Text(o)), "${", `\u0024{`)
	text = strings.ReplaceAll(text, `"Resource":"arn:aws:`, `"Resource":"arn:${AWS::Partition}:`)
	return strings.ReplaceAll(text, `"`+b.p.CertificateAuthority+`"`, `"${`+paramCA+`}"`), nil
}

// machine adds the state machine with its log group and its role. The metadata of the state machine contains the Record.
func (b *builder) machine() {
	logs := value.Obj("LogGroupName", b.n.LogGroup, "RetentionInDays", value.Int(int64(Retention(b.p.LogRetentionDays))))
	var extra []any
	if key := b.keyARN(); key != nil {
		logs.Set("KmsKeyId", key)
	} else {
		extra = skipped("CKV_AWS_158", "encrypted with a key of CloudWatch Logs; set the parameter kms_key for another")
	}
	logs.Set("Tags", b.tags())
	b.resource(idLogs, "AWS::Logs::LogGroup", logs, append(extra, "DeletionPolicy", "Delete", "UpdateReplacePolicy", "Delete")...)
	b.role(idMachineRole, b.n.MachineRole, "Permissions of the state machine "+b.n.Machine, b.machineTrust(), b.machinePolicy())
	b.stateMachine(idMachine, b.n.Machine, b.subbed[0], "Metadata", value.Obj("Rayorch", b.record().value()))
	b.output("StateMachineArn", ref(idMachine))
	b.output("LogGroupArn", arnOf(idLogs))
	b.output("StateMachineRoleArn", arnOf(idMachineRole))
}

// stateMachine adds the state machine or the cleanup state machine. Both log to the same log group, so that the log of an
// execution and that of the cleanup after it are in one place.
func (b *builder) stateMachine(id, name string, definition *value.Object, extra ...any) {
	p := value.Obj(
		"StateMachineName", name,
		"StateMachineType", "STANDARD",
		"RoleArn", arnOf(idMachineRole),
		"DefinitionString", definition,
		"LoggingConfiguration", value.Obj("Level", "ALL", "IncludeExecutionData", true,
			"Destinations", list(value.Obj("CloudWatchLogsLogGroup", value.Obj("LogGroupArn", arnOf(idLogs))))),
	)
	if key := b.keyARN(); key != nil {
		p.Set("EncryptionConfiguration", value.Obj("Type", "CUSTOMER_MANAGED_KMS_KEY", "KmsKeyId", key,
			"KmsDataKeyReusePeriodSeconds", value.Int(300)))
	}
	p.Set("Tags", b.tags())
	b.resource(id, "AWS::StepFunctions::StateMachine", p, extra...)
}

// machineTrust returns the trust policy of the state machines' role: only Step Functions can assume it, and only for the two
// state machines of this stack.
func (b *builder) machineTrust() *value.Object {
	var machines []any
	for _, name := range []string{b.n.Machine, b.n.Clean} {
		machines = append(machines, sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:"+name))
	}
	return trust(value.Obj("Service", "states.amazonaws.com"), "sts:AssumeRole", value.Obj(
		"StringEquals", value.Obj("aws:SourceAccount", ref("AWS::AccountId")),
		"ArnLike", value.Obj("aws:SourceArn", machines)))
}

// machinePolicy returns what the state machines are allowed to do in AWS: deliver logs, use the key, and run child executions.
// The log delivery actions have no resource-level permissions. The tasks eks:runJob and eks:call need no IAM action: access
// is up to Kubernetes (see access and rbac).
func (b *builder) machinePolicy() []any {
	statements := list[any](allow("DeliverLogs", list[any]("*"), "logs:CreateLogDelivery", "logs:DeleteLogDelivery",
		"logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries",
		"logs:PutResourcePolicy", "logs:UpdateLogDelivery"))
	if key := b.keyARN(); key != nil {
		statements = append(statements, allow("UseKey", list(key), "kms:Decrypt", "kms:GenerateDataKey"))
	}
	if hasDistributedMap(b.in.Compiled.Definition) {
		statements = append(statements, b.nestedPolicy()...)
	}
	return statements
}

// nestedPolicy returns what a distributed Map needs: its child workflows are executions of the same state machine.
func (b *builder) nestedPolicy() []any {
	const at = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:"
	return list[any](
		allow("StartChildren", list[any](sub(at+"stateMachine:"+b.n.Machine)), "states:StartExecution"),
		allow("FollowChildren", list[any](sub(at+"execution:"+b.n.Machine+":*")), "states:DescribeExecution", "states:StopExecution"),
	)
}
