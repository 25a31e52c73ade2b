package stack

import (
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Logical ids. Nothing of the published module's keeps its id, so that an update from it replaces rather than mixes.
const (
	idKey, idAlias          = "Key", "KeyAlias"
	idLogs, idMachineRole   = "LogGroup", "StateMachineRole"
	idMachine, idClean      = "StateMachine", "CleanUpStateMachine"
	idPodRole, idAccess     = "PodRole", "AccessEntry"
	idRule, idEventRole     = "AbortedRule", "AbortedRuleRole"
	idSchedule, idSchedRole = "Schedule", "ScheduleRole"
	idTopic, idAlarm        = "FailureTopic", "FailureAlarm"
)

// substituted writes a definition as the text of Fn::Sub: on one line, its own ${...} as JSON writes them without a $, for not
// everything that reads templates knows Fn::Sub's escape, its dynamic references as literal has them, and its resources in whatever
// partition the stack is made. A Definition object would do without escapes, but CloudFormation keeps no order of keys, and its linter
// takes no partition but aws there.
func (b *builder) substituted(definition []byte) (string, error) {
	o, err := value.ParseObject(definition)
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(literal(value.Text(o)), "${", `\u0024{`)
	text = strings.ReplaceAll(text, `"Resource":"arn:aws:`, `"Resource":"arn:${AWS::Partition}:`)
	return strings.ReplaceAll(text, `"`+b.p.CertificateAuthority+`"`, `"${`+paramCA+`}"`), nil
}

// machine adds the state machine with its log group and its role.
func (b *builder) machine() {
	logs := value.Obj("LogGroupName", b.n.LogGroup, "RetentionInDays", value.Int(int64(Retention(b.p.LogRetentionDays))))
	var extra []any
	if key := b.keyARN(); key != nil {
		logs.Set("KmsKeyId", key)
	} else {
		extra = skipped("CKV_AWS_158", "CloudWatch Logs encrypts it with its own key; the parameter kms_key names another")
	}
	logs.Set("Tags", b.tags())
	b.resource(idLogs, "AWS::Logs::LogGroup", logs, append(extra, "DeletionPolicy", "Delete", "UpdateReplacePolicy", "Delete")...)
	b.role(idMachineRole, b.n.MachineRole, "What the state machine "+b.n.Machine+" may do", b.machineTrust(), b.machinePolicy())
	b.stateMachine(idMachine, b.n.Machine, b.subbed[0], "Metadata", value.Obj("Rayorch", b.record().value()))
	b.output("StateMachineArn", ref(idMachine))
	b.output("LogGroupArn", arnOf(idLogs))
	b.output("StateMachineRoleArn", arnOf(idMachineRole))
}

// stateMachine adds one machine. Both log everything into one group: who looks for an execution's end looks there.
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

// machineTrust lets Step Functions assume the role for the two machines and nothing else.
func (b *builder) machineTrust() *value.Object {
	var machines []any
	for _, name := range []string{b.n.Machine, b.n.Clean} {
		machines = append(machines, sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:"+name))
	}
	return trust(value.Obj("Service", "states.amazonaws.com"), "sts:AssumeRole", value.Obj(
		"StringEquals", value.Obj("aws:SourceAccount", ref("AWS::AccountId")),
		"ArnLike", value.Obj("aws:SourceArn", machines)))
}

// machinePolicy is what the machine itself calls: the delivery of logs, which knows no resources, and its key. Jobs and
// eks:call need no IAM action; Kubernetes decides (the access entry and its role there).
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

// nestedPolicy is what a distributed Map needs: it starts its children as executions of the same machine.
func (b *builder) nestedPolicy() []any {
	const at = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:"
	return list[any](
		allow("StartChildren", list[any](sub(at+"stateMachine:"+b.n.Machine)), "states:StartExecution"),
		allow("FollowChildren", list[any](sub(at+"execution:"+b.n.Machine+":*")), "states:DescribeExecution", "states:StopExecution"),
	)
}
