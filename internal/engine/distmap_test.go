package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// distributed returns a definition whose only state is a distributed Map over a Task.
func distributed(fields string) string {
	return `{"StartAt":"M","States":{"M":{"Type":"Map",` + fields + `"ItemProcessor":{"ProcessorConfig":
		{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"T","States":{"T":{"Type":"Task",
		"Resource":"arn:aws:states:::test:do.sync","End":true}}},"End":true}}}`
}

// echo returns its input, and fails for the item "bad".
func echo(_ context.Context, req *task.Request) task.Result {
	if string(req.Input) == `"bad"` {
		return task.Fail("Bad", "the item is bad")
	}
	return task.Result{Output: req.Input}
}

func TestMapRun(t *testing.T) {
	e := open(t, vfs.NewMem(), echo)
	x := end(t, e, start(t, e, "a", distributed(`"MaxConcurrency":2,`), `[1,"two",{"three":3}]`).ARN)
	if string(x.Output) != `[1,"two",{"three":3}]` {
		t.Errorf("%s %s %s", x.Status, x.Output, x.Cause)
	}
	runs, _, err := e.MapRuns(x.ARN, "", 0)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d map runs, %v", len(runs), err)
	}
	m, err := e.MapRun(runs[0].ARN)
	want := engine.Counts{Total: 3, Succeeded: 3, Written: 3}
	if err != nil || m.Status != stepfn.Succeeded || m.MaxConcurrency != 2 || m.Items != want || m.Executions != want {
		t.Errorf("%+v, %v", m, err)
	}
	if got := names(t, e, engine.ListFilter{MapRunARN: m.ARN, Status: stepfn.Succeeded}); len(got) != 3 {
		t.Errorf("children: %v", got)
	}
	if got := names(t, e, engine.ListFilter{MachineARN: machineARN}); len(got) != 1 {
		t.Errorf("the machine's list shows children: %v", got)
	}
}

func TestMapRunFailures(t *testing.T) {
	for name, c := range map[string]struct {
		fields string
		status stepfn.Status
	}{
		"none tolerated":  {"", stepfn.Failed},
		"one tolerated":   {`"ToleratedFailureCount":1,`, stepfn.Succeeded},
		"half tolerated":  {`"ToleratedFailurePercentage":50,`, stepfn.Succeeded},
		"tenth tolerated": {`"ToleratedFailurePercentage":10,`, stepfn.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, vfs.NewMem(), echo)
			x := end(t, e, start(t, e, "a", distributed(c.fields), `["good","bad"]`).ARN)
			if x.Status != c.status {
				t.Errorf("%s %s %s", x.Status, x.Error, x.Cause)
			}
			if c.status == stepfn.Failed && x.Error != "States.ExceedToleratedFailureThreshold" {
				t.Errorf("the error is %s", x.Error)
			}
		})
	}
}

func TestMapRunBatches(t *testing.T) {
	e := open(t, vfs.NewMem(), echo)
	x := end(t, e, start(t, e, "a", distributed(`"ItemBatcher":{"MaxItemsPerBatch":2},`), `[1,2,3]`).ARN)
	if string(x.Output) != `[{"Items":[1,2]},{"Items":[3]}]` {
		t.Errorf("%s %s %s", x.Status, x.Output, x.Cause)
	}
}

// Stopping the execution stops the children.
func TestMapRunAbort(t *testing.T) {
	running := make(chan struct{}, 3)
	e := open(t, vfs.NewMem(), func(ctx context.Context, _ *task.Request) task.Result {
		running <- struct{}{}
		<-ctx.Done()
		return task.Result{}
	})
	x := start(t, e, "a", distributed(""), `[1,2,3]`)
	for range 3 {
		<-running
	}
	if _, err := e.Stop(x.ARN, "", ""); err != nil {
		t.Fatal(err)
	}
	runs, _, err := e.MapRuns(x.ARN, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() (any, bool) {
		children := names(t, e, engine.ListFilter{MapRunARN: runs[0].ARN, Status: stepfn.Aborted})
		return children, len(children) == 3
	})
}

// objects are buckets in memory.
type objects struct {
	mu sync.Mutex
	m  map[string]string
}

func (o *objects) Get(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text, ok := o.m[bucket+"/"+key]
	if !ok {
		return nil, fmt.Errorf("no %s in %s", key, bucket)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (o *objects) Put(_ context.Context, bucket, key string, body io.ReadSeeker) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b bytes.Buffer
	_, err := b.ReadFrom(body)
	o.m[bucket+"/"+key] = b.String()
	return err
}

func (o *objects) List(_ context.Context, bucket, prefix string, fn func(engine.Object) error) error {
	o.mu.Lock()
	var found []engine.Object
	for key, text := range o.m {
		if name, ok := strings.CutPrefix(key, bucket+"/"); ok && strings.HasPrefix(name, prefix) {
			found = append(found, engine.Object{Key: name, Size: int64(len(text))})
		}
	}
	o.mu.Unlock()
	slices.SortFunc(found, func(a, b engine.Object) int { return strings.Compare(a.Key, b.Key) })
	for _, object := range found {
		if err := fn(object); err != nil {
			return err
		}
	}
	return nil
}

// Package dataset tests the reading of files; this test is about which files are read, and what ItemSelector gets.
func TestItemReaders(t *testing.T) {
	const get, list = "arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2"
	files := &objects{m: map[string]string{
		"b/list.json":      `[1,2,3,4]`,
		"b/deep.json":      `{"a":{"b":[5,6]}}`,
		"b/object.json":    `{"k":1}`,
		"b/broken":         `[1,`,
		"b/in/1.jsonl":     "1\n2\n",
		"b/in/2.jsonl":     "3\n",
		"b/in/":            "",
		"b/inventory.json": `{"destinationBucket":"arn:aws:s3:::b","fileFormat":"CSV","fileSchema":"Bucket, Key","files":[{"key":"inv.csv"}]}`,
		"b/inv.csv":        "\"b\",\"x%201\"\n",
		"b/athena.csv":     "s3://b/in/1.jsonl\ns3://b/in/2.jsonl\n",
	}}
	for name, c := range map[string]struct{ resource, parameters, config, more, want string }{
		"some":       {get, `"Key":"list.json"`, `"InputType":"JSON","MaxItems":2`, "", `[1,2]`},
		"by path":    {get, `"Key":"list.json"`, `"InputType":"JSON","MaxItemsPath":"$.most"`, "", `[1,2,3]`},
		"pointer":    {get, `"Key":"deep.json"`, `"InputType":"JSON","ItemsPointer":"/a/b"`, "", `[5,6]`},
		"items path": {get, `"Key":"deep.json"`, `"InputType":"JSON"`, `"ItemsPath":"$.a.b",`, `[5,6]`},
		"object":     {get, `"Key":"object.json"`, `"InputType":"JSON"`, "", `[{"Key":"k","Value":1}]`},
		"key":        {get, `"Key":"object.json"`, `"InputType":"JSON"`, `"ItemSelector":{"k.$":"$$.Map.Item.Key"},`, `[{"k":"k"}]`},
		"source":     {get, `"Key":"list.json"`, `"InputType":"JSON","MaxItems":1`, `"ItemSelector":{"s.$":"$$.Map.Item.Source"},`, `[{"s":"s3://b/list.json"}]`},
		"list":       {list, `"Prefix":"in/2"`, `"MaxItems":1`, `"ItemSelector":{"s.$":"$$.Map.Item.Source","k.$":"$$.Map.Item.Value.Key"},`, `[{"s":"s3://b","k":"in/2.jsonl"}]`},
		"load":       {list, `"Prefix":"in/"`, `"InputType":"JSONL","Transformation":"LOAD_AND_FLATTEN"`, "", `[1,2,3]`},
		"inventory":  {get, `"Key":"inventory.json"`, `"InputType":"MANIFEST"`, "", `[{"Bucket":"b","Key":"x%201"}]`},
		"athena":     {get, `"Key":"athena.csv"`, `"ManifestType":"ATHENA_DATA","InputType":"JSONL"`, `"ItemSelector":{"s.$":"$$.Map.Item.Source","v.$":"$$.Map.Item.Value"},"ItemBatcher":{"MaxItemsPerBatch":9},`, `[{"Items":[{"s":"s3://b/in/1.jsonl","v":1},{"s":"s3://b/in/1.jsonl","v":2},{"s":"s3://b/in/2.jsonl","v":3}]}]`},
		"version":    {get, `"Key":"list.json","VersionId":"v"`, `"InputType":"JSON"`, "", "States.ItemReaderFailed"},
		"broken":     {get, `"Key":"broken"`, `"InputType":"JSON"`, "", "States.ItemReaderFailed"},
		"missing":    {get, `"Key":"none"`, `"InputType":"JSON"`, "", "States.ItemReaderFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, vfs.NewMem(), echo, func(c *engine.Config) { c.Objects = files })
			x := end(t, e, start(t, e, "a", distributed(`"ItemReader":{"Resource":"`+c.resource+`","ReaderConfig":{`+c.config+
				`},"Parameters":{"Bucket":"b",`+c.parameters+`}},`+c.more), `{"most":3}`).ARN)
			if got := string(x.Output) + x.Error; got != c.want {
				t.Errorf("%s: %s", got, x.Cause)
			}
		})
	}
}

// Items of the state's input: an array's elements, and an object's members.
func TestStateItems(t *testing.T) {
	const selector = `"ItemSelector":{"s.$":"$$.Map.Item.Source","v.$":"$$.Map.Item.Value"},`
	for name, c := range map[string]struct{ fields, input, want string }{
		"array":         {selector, `[1]`, `[{"s":"STATE_DATA","v":1}]`},
		"object":        {"", `{"a":1,"b":{}}`, `[{"Key":"a","Value":1},{"Key":"b","Value":{}}]`},
		"object's key":  {`"ItemSelector":{"k.$":"$$.Map.Item.Key","v.$":"$$.Map.Item.Value"},`, `{"a":1}`, `[{"k":"a","v":1}]`},
		"neither":       {"", `"text"`, "States.Runtime"},
		"few bytes":     {`"ItemBatcher":{"MaxInputBytesPerBatch":6},`, `["aa","b","c"]`, `[{"Items":["aa"]},{"Items":["b"]},{"Items":["c"]}]`},
		"both bounds":   {`"ItemBatcher":{"MaxItemsPerBatch":2,"MaxInputBytesPerBatch":100,"BatchInput":{"all":true}},`, `[1,2,3]`, `[{"BatchInput":{"all":true},"Items":[1,2]},{"BatchInput":{"all":true},"Items":[3]}]`},
		"no items":      {"", `[]`, `[]`},
		"flattened":     {`"ResultWriter":{"WriterConfig":{"Transformation":"FLATTEN"}},`, `[[1,2],3]`, `[1,2,3]`},
		"child context": {`"ItemSelector":{"p.$":"$$.Execution.Name"},`, `[0]`, `[{"p":"a"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, vfs.NewMem(), echo)
			x := end(t, e, start(t, e, "a", distributed(c.fields), c.input).ARN)
			if got := string(x.Output) + x.Error; got != c.want {
				t.Errorf("%s: %s", got, x.Cause)
			}
		})
	}
}

// The context object of a child has its own execution and the name of the parent's machine, but no item, as on Step Functions.
func TestChildContext(t *testing.T) {
	e := open(t, vfs.NewMem(), echo)
	x := end(t, e, start(t, e, "a", `{"StartAt":"M","States":{"M":{"Type":"Map","Label":"L","ItemProcessor":{"ProcessorConfig":
		{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"P","States":{"P":{"Type":"Pass","Parameters":{"c.$":"$$"},
		"OutputPath":"$.c","End":true}}},"ResultSelector":{"id.$":"$[0].StateMachine.Id","name.$":"$[0].StateMachine.Name",
		"item.$":"$[?(@.Map)]"},"End":true}}}`, `[1]`).ARN)
	want := `{"id":"` + machineARN + `/L","name":"` + machineARN[strings.LastIndexByte(machineARN, ':')+1:] + `","item":[]}`
	if got := string(x.Output) + x.Error; got != want {
		t.Errorf("%s: %s", got, x.Cause)
	}
}

// resultFiles returns the written files by the last part of their names, without the parts that differ between runs.
func resultFiles(files *objects) map[string]string {
	files.mu.Lock()
	defer files.mu.Unlock()
	vary := regexp.MustCompile(`"(ExecutionArn|Name|StartDate|StopDate)":"[^"]*",?|[0-9a-f]{8}-[0-9a-f-]{27}/`)
	out := map[string]string{}
	for key, text := range files.m {
		out[key[strings.LastIndexByte(key, '/')+1:]] = vary.ReplaceAllString(text, "")
	}
	return out
}

const describedGood = `{"Input":"\"good\"","InputDetails":{"Included":true},"Output":"\"good\"","OutputDetails":{"Included":true},` +
	`"RedriveCount":0,"RedriveStatus":"NOT_REDRIVABLE","RedriveStatusReason":"Execution is SUCCEEDED and cannot be redriven",` +
	`"StateMachineArn":"` + machineARN + `/L","Status":"SUCCEEDED",}`

const describedBad = `{"Cause":"the item is bad","Error":"Bad","Input":"\"bad\"","InputDetails":{"Included":true},` +
	`"OutputDetails":{"Included":true},"RedriveCount":0,"RedriveStatus":"REDRIVABLE_BY_MAP_RUN",` +
	`"StateMachineArn":"` + machineARN + `/L","Status":"FAILED",}`

// The files are the same as recorded ones of Step Functions, including the order of the fields.
func TestResultWriter(t *testing.T) {
	for name, c := range map[string]struct {
		config, tolerated, input string
		status                   stepfn.Status
		want                     map[string]string
	}{
		"plain": {"", "1", `["good","bad"]`, stepfn.Succeeded, map[string]string{
			"SUCCEEDED_0.json": "[" + describedGood + "]", "FAILED_0.json": "[" + describedBad + "]",
		}},
		"lines": {`,"WriterConfig":{"Transformation":"COMPACT","OutputType":"JSONL"}`, "1", `["good",[1,2],"bad"]`, stepfn.Succeeded,
			map[string]string{"SUCCEEDED_0.jsonl": "\"good\"\n[1,2]\n", "FAILED_0.jsonl": describedBad + "\n"}},
		"flat": {`,"WriterConfig":{"Transformation":"FLATTEN","OutputType":"JSON"}`, "0", `["good",[1,2]]`, stepfn.Succeeded,
			map[string]string{"SUCCEEDED_0.json": `["good",1,2]`}},
		"too many": {"", "0", `["bad","never"]`, stepfn.Failed, map[string]string{
			"FAILED_0.json": "[" + describedBad + "]", "PENDING_0.json": `[{"Input":"\"never\"","InputDetails":{"Included":true},"Status":"PENDING"}]`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			files := &objects{m: map[string]string{}}
			e := open(t, vfs.NewMem(), echo, func(c *engine.Config) { c.Objects = files })
			x := end(t, e, start(t, e, "a", distributed(`"Label":"L","MaxConcurrency":1,"ToleratedFailureCount":`+c.tolerated+
				`,"ResultWriter":{"Resource":"arn:aws:states:::s3:putObject","Parameters":{"Bucket":"b","Prefix":"out/"}`+c.config+`},`), c.input).ARN)
			if x.Status != c.status || c.status == stepfn.Succeeded && !strings.Contains(string(x.Output), `"Bucket":"b","Key":"out/`) {
				t.Fatalf("%s %s %s", x.Status, x.Output, x.Cause)
			}
			got := resultFiles(files)
			if !strings.HasPrefix(got["manifest.json"], `{"DestinationBucket":"b","MapRunArn":"arn:aws:states:`) {
				t.Errorf("manifest: %s", got["manifest.json"])
			}
			delete(got, "manifest.json")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The definition of a child is the processor of its Map, even if the Map has no label and the name of its state is not allowed in an ARN.
func TestChildDefinition(t *testing.T) {
	const processor = `{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`
	e := open(t, vfs.NewMem(), echo)
	x := end(t, e, start(t, e, "a", `{"StartAt":"All","States":{"All":{"Type":"Parallel","Branches":[{"StartAt":"Each one: of them",
		"States":{"Each one: of them":{"Type":"Map","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":
		"STANDARD"},`+processor[1:]+`,"End":true}}}],"End":true}}}`, `[1]`).ARN)
	runs, _, err := e.MapRuns(x.ARN, "", 0)
	if err != nil || len(runs) != 1 || !regexp.MustCompile(`:mapRun:[^:]*/[0-9a-f-]{36}:[0-9a-f-]{36}$`).MatchString(runs[0].ARN) {
		t.Fatalf("%v %v", runs, err)
	}
	page, err := e.List(engine.ListFilter{MapRunARN: runs[0].ARN})
	if err != nil || len(page.Executions) != 1 {
		t.Fatalf("%v %v", page, err)
	}
	for f, want := range map[bool]int{false: 1, true: 2} {
		if all, err := e.List(engine.ListFilter{Children: f}); err != nil || len(all.Executions) != want {
			t.Errorf("with children %t: %v %v", f, all, err)
		}
	}
	if text, err := e.Definition(page.Executions[0].ARN); err != nil || string(text) != processor {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := e.Definition(x.ARN); err != nil || !strings.Contains(string(text), "Parallel") {
		t.Errorf("the parent's: %s, %v", text, err)
	}
}

// A failed child is shown as PENDING_REDRIVE from the redrive of the map run until the child is restarted.
func TestPendingRedrive(t *testing.T) {
	var mu sync.Mutex
	again := false
	reached, free := make(chan struct{}), make(chan struct{})
	e := open(t, vfs.NewMem(), func(_ context.Context, req *task.Request) task.Result {
		mu.Lock()
		second := again
		mu.Unlock()
		if !second {
			return task.Fail("Bad", "")
		}
		if string(req.Input) == "1" {
			close(reached)
			<-free
		}
		return task.Result{Output: req.Input}
	})
	x := end(t, e, start(t, e, "a", distributed(`"MaxConcurrency":1,"ToleratedFailureCount":1,`), `[1,2]`).ARN)
	if x.Status != stepfn.Failed {
		t.Fatal(x.Status)
	}
	mu.Lock()
	again = true
	mu.Unlock()
	if _, err := e.Redrive(x.ARN); err != nil {
		t.Fatal(err)
	}
	<-reached
	runs, _, err := e.MapRuns(x.ARN, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.MapRun(runs[0].ARN)
	if err != nil || m.Items.PendingRedrive != 1 || m.Items.Running != 1 || m.Items.Total != 2 {
		t.Errorf("%+v, %v", m.Items, err)
	}
	if got := names(t, e, engine.ListFilter{MapRunARN: m.ARN, Status: "PENDING_REDRIVE"}); len(got) != 1 {
		t.Errorf("pending: %v", got)
	}
	if got := names(t, e, engine.ListFilter{MapRunARN: m.ARN, Status: stepfn.Failed}); len(got) != 0 {
		t.Errorf("failed: %v", got)
	}
	close(free)
	if x = end(t, e, x.ARN); string(x.Output) != `[1,2]` {
		t.Errorf("%s %s", x.Status, x.Cause)
	}
	if m, err = e.MapRun(m.ARN); err != nil || m.Items.PendingRedrive != 0 || m.Items.Succeeded != 2 {
		t.Errorf("%+v, %v", m.Items, err)
	}
}

// A map run can be redriven immediately after its end, when the first driver may not have ended yet.
func TestImmediateRedriveOfMapRun(t *testing.T) {
	var failing atomic.Bool
	e := open(t, vfs.NewMem(), func(_ context.Context, req *task.Request) task.Result {
		if failing.Load() {
			return task.Fail("Bad", "")
		}
		return task.Result{Output: req.Input}
	})
	for i := range 100 {
		failing.Store(true)
		x := end(t, e, start(t, e, fmt.Sprint("a", i), distributed(""), `[1]`).ARN)
		failing.Store(false)
		if _, err := e.Redrive(x.ARN); err != nil {
			t.Fatal(err)
		}
		if x = end(t, e, x.ARN); x.Status != stepfn.Succeeded {
			t.Fatalf("%s %s %s", x.Status, x.Error, x.Cause)
		}
	}
}

// An aborted map run can be redriven while its children are still being stopped.
func TestRedriveOfAbortedMapRun(t *testing.T) {
	begun := make(chan struct{}, 1)
	var free atomic.Bool
	e := open(t, vfs.NewMem(), func(ctx context.Context, req *task.Request) task.Result {
		if free.Load() {
			return task.Result{Output: req.Input}
		}
		select {
		case begun <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return task.Fail("States.TaskFailed", "stopped")
	})
	for i := range 30 {
		free.Store(false)
		x := start(t, e, fmt.Sprint("a", i), distributed(""), `[1,2,3]`)
		<-begun
		if _, err := e.Stop(x.ARN, "", ""); err != nil {
			t.Fatal(err)
		}
		free.Store(true)
		if _, err := e.Redrive(x.ARN); err != nil {
			t.Fatal(err)
		}
		if x = end(t, e, x.ARN); x.Status != stepfn.Succeeded {
			t.Fatalf("%s %s %s", x.Status, x.Error, x.Cause)
		}
		select { // another item may have started as well
		case <-begun:
		default:
		}
	}
}

// A redrive restarts only the children that failed.
func TestMapRunRedrive(t *testing.T) {
	var mu sync.Mutex
	ran := map[string]int{}
	e := open(t, vfs.NewMem(), func(_ context.Context, req *task.Request) task.Result {
		mu.Lock()
		defer mu.Unlock()
		ran[string(req.Input)]++
		if string(req.Input) == "2" && ran["2"] == 1 {
			return task.Fail("Bad", "")
		}
		return task.Result{Output: req.Input}
	})
	x := end(t, e, start(t, e, "a", distributed(`"MaxConcurrency":1,`), `[1,2]`).ARN)
	if x.Status != stepfn.Failed {
		t.Fatal(x.Status)
	}
	if _, err := e.Redrive(x.ARN); err != nil {
		t.Fatal(err)
	}
	x = end(t, e, x.ARN)
	if string(x.Output) != `[1,2]` {
		t.Errorf("%s %s %s %s", x.Status, x.Output, x.Error, x.Cause)
	}
	if diff := cmp.Diff(map[string]int{"1": 1, "2": 2}, ran); diff != "" {
		t.Error(diff)
	}
}
