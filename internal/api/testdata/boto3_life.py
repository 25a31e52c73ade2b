"""Call each group of actions once through boto3, and print ok."""
import json
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sfn = boto3.client("stepfunctions", config=Config(inject_host_prefix=False, retries={"max_attempts": 1}, connect_timeout=300, read_timeout=300))
ROLE = "arn:aws:iam::123456789012:role/r"
PASS = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"a": 1}, "End": True}}})
WAIT = json.dumps({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}})


def refused(code, call, **params):
    try:
        call(**params)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError("no error, want " + code)


def ended(arn):
    for _ in range(6000):  # five minutes at least
        description = sfn.describe_execution(executionArn=arn)
        if description["status"] != "RUNNING":
            return description
        time.sleep(0.05)
    raise AssertionError(arn + " has not ended: " + description["status"])


def machines():
    created = sfn.create_state_machine(name="m", definition=PASS, roleArn=ROLE, publish=True, tags=[{"key": "a", "value": "b"}])
    arn = created["stateMachineArn"]
    assert created["stateMachineVersionArn"] == arn + ":1"
    assert sfn.describe_state_machine(stateMachineArn=arn)["definition"] == PASS
    alias = sfn.create_state_machine_alias(
        name="live", routingConfiguration=[{"stateMachineVersionArn": arn + ":1", "weight": 100}]
    )["stateMachineAliasArn"]
    updated = sfn.update_state_machine(stateMachineArn=arn, definition=WAIT)
    assert updated["revisionId"]
    run = sfn.start_execution(stateMachineArn=alias, name="x", input='{"n": 1}')["executionArn"]
    done = ended(run)
    assert (done["status"], done["output"], done["stateMachineAliasArn"]) == ("SUCCEEDED", '{"a":1}', alias), done
    pages = sfn.get_paginator("get_execution_history").paginate(executionArn=run, PaginationConfig={"PageSize": 1})
    assert [e["id"] for page in pages for e in page["events"]] == [1, 2, 3, 4]
    listed = sfn.list_executions(stateMachineArn=alias)["executions"]
    assert [x["name"] for x in listed] == ["x"], listed
    assert sfn.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "a", "value": "b"}]
    refused("ConflictException", sfn.delete_state_machine_version, stateMachineVersionArn=arn + ":1")
    refused("InvalidDefinition", sfn.update_state_machine, stateMachineArn=arn, definition="{}")
    refused("ExecutionDoesNotExist", sfn.describe_execution, executionArn=run + "y")
    return arn


def stopping(arn):
    run = sfn.start_execution(stateMachineArn=arn)["executionArn"]
    sfn.stop_execution(executionArn=run, error="E", cause="C")
    stopped = ended(run)
    assert (stopped["status"], stopped["error"], stopped["cause"]) == ("ABORTED", "E", "C"), stopped
    assert stopped["redriveStatus"] == "REDRIVABLE", stopped
    sfn.redrive_execution(executionArn=run)
    assert sfn.describe_execution(executionArn=run)["redriveCount"] == 1
    sfn.stop_execution(executionArn=run)


def callbacks():
    activity = sfn.create_activity(name="work")["activityArn"]
    definition = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": activity, "End": True}}}
    arn = sfn.create_state_machine(name="work", definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]
    run = sfn.start_execution(stateMachineArn=arn, input='{"job": 7}')["executionArn"]
    task = sfn.get_activity_task(activityArn=activity, workerName="w")
    assert json.loads(task["input"]) == {"job": 7}
    sfn.send_task_heartbeat(taskToken=task["taskToken"])
    sfn.send_task_success(taskToken=task["taskToken"], output='{"done": true}')
    assert json.loads(ended(run)["output"]) == {"done": True}
    refused("TaskTimedOut", sfn.send_task_success, taskToken=task["taskToken"], output="{}")


def same_second():
    """Identical calls in the same second have the same signature. As on AWS, each starts an execution."""
    signatures, runs = [], []

    def note(request, **_):
        signatures.append(request.headers["Authorization"])

    # The client's default region may differ from the server's.
    other_region = boto3.client("stepfunctions", region_name="eu-central-1", config=Config(connect_timeout=300, read_timeout=300))
    arn = other_region.create_state_machine(name="alike", definition=PASS, roleArn=ROLE)["stateMachineArn"]
    other_region.meta.events.register("before-send.sfn.StartExecution", note)
    for _ in range(200):
        runs.append(other_region.start_execution(stateMachineArn=arn)["executionArn"])
        if len(set(signatures)) < len(signatures) and len(runs) >= 5:
            break
    assert len(set(signatures)) < len(signatures), signatures
    assert len(set(runs)) == len(runs), runs
    other_region.delete_state_machine(stateMachineArn=arn)


def the_rest(arn):
    express = sfn.create_state_machine(name="e", definition=PASS, roleArn=ROLE, type="EXPRESS")["stateMachineArn"]
    sync = sfn.start_sync_execution(stateMachineArn=express)
    assert (sync["status"], sync["output"]) == ("SUCCEEDED", '{"a":1}'), sync
    tested = sfn.test_state(definition=json.dumps({"Type": "Pass", "End": True}), roleArn=ROLE, input='{"x": 1}')
    assert tested["status"] == "SUCCEEDED", tested
    checked = sfn.validate_state_machine_definition(definition="{}")
    assert checked["result"] == "FAIL" and checked["diagnostics"], checked
    names = [m["name"] for m in sfn.list_state_machines()["stateMachines"]]
    assert names == ["e", "m", "work"], names
    sfn.delete_state_machine(stateMachineArn=arn)
    refused("StateMachineDoesNotExist", sfn.start_execution, stateMachineArn=arn)


machine = machines()
stopping(machine)
callbacks()
same_second()
the_rest(machine)
print("ok")
