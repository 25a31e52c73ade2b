package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task"
)

// distributed is a machine whose one state is a distributed Map over a Task.
func distributed(fields string) string {
	return `{"StartAt":"M","States":{"M":{"Type":"Map",` + fields + `"ItemProcessor":{"ProcessorConfig":
		{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"T","States":{"T":{"Type":"Task",
		"Resource":"arn:aws:states:::test:do.sync","End":true}}},"End":true}}}`
}

// echo gives back its input, and fails for the item "bad".
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
	want := engine.Counts{Total: 3, Succeeded: 3}
	if err != nil || m.Status != engine.Succeeded || m.MaxConcurrency != 2 || m.Items != want || m.Executions != want {
		t.Errorf("%+v, %v", m, err)
	}
	if got := names(t, e, engine.ListFilter{MapRunARN: m.ARN, Status: engine.Succeeded}); len(got) != 3 {
		t.Errorf("children: %v", got)
	}
	if got := names(t, e, engine.ListFilter{MachineARN: machineARN}); len(got) != 1 {
		t.Errorf("the machine's list shows children: %v", got)
	}
}

func TestMapRunFailures(t *testing.T) {
	for name, c := range map[string]struct{ fields, status string }{
		"none tolerated":  {"", engine.Failed},
		"one tolerated":   {`"ToleratedFailureCount":1,`, engine.Succeeded},
		"half tolerated":  {`"ToleratedFailurePercentage":50,`, engine.Succeeded},
		"tenth tolerated": {`"ToleratedFailurePercentage":10,`, engine.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, vfs.NewMem(), echo)
			x := end(t, e, start(t, e, "a", distributed(c.fields), `["good","bad"]`).ARN)
			if x.Status != c.status {
				t.Errorf("%s %s %s", x.Status, x.Error, x.Cause)
			}
			if c.status == engine.Failed && x.Error != "States.ExceedToleratedFailureThreshold" {
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
	if _, err := e.Stop(t.Context(), x.ARN, "", ""); err != nil {
		t.Fatal(err)
	}
	runs, _, err := e.MapRuns(x.ARN, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var children []string
	for len(children) < 3 {
		children = names(t, e, engine.ListFilter{MapRunARN: runs[0].ARN, Status: engine.Aborted})
	}
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
	return fn(engine.Object{Key: prefix + "x", Size: 1})
}

func TestItemReaders(t *testing.T) {
	files := &objects{m: map[string]string{
		"b/rows.csv":   "name,n\na,1\nb,2\n",
		"b/rows.jsonl": "{\"n\":1}\n\n{\"n\":2}\n",
		"b/list.json":  `[1,2,3,4]`,
		"b/deep.json":  `{"skip":[0],"a":{"b":[5,6]}}`,
		"b/broken":     `[1,`,
	}}
	for name, c := range map[string]struct{ config, key, want string }{
		"csv":     {`"InputType":"CSV","CSVHeaderLocation":"FIRST_ROW"`, "rows.csv", `[{"name":"a","n":"1"},{"name":"b","n":"2"}]`},
		"jsonl":   {`"InputType":"JSONL"`, "rows.jsonl", `[{"n":1},{"n":2}]`},
		"json":    {`"InputType":"JSON"`, "list.json", `[1,2,3,4]`},
		"some":    {`"InputType":"JSON","MaxItems":2`, "list.json", `[1,2]`},
		"pointer": {`"InputType":"JSON","ItemsPointer":"/a/b"`, "deep.json", `[5,6]`},
		"broken":  {`"InputType":"JSON"`, "broken", "States.ItemReaderFailed"},
		"missing": {`"InputType":"JSON"`, "none", "States.ItemReaderFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, vfs.NewMem(), echo, func(c *engine.Config) { c.Objects = files })
			x := end(t, e, start(t, e, "a", distributed(`"ItemReader":{"Resource":"arn:aws:states:::s3:getObject",
				"ReaderConfig":{`+c.config+`},"Parameters":{"Bucket":"b","Key":"`+c.key+`"}},`), `{}`).ARN)
			if got := string(x.Output) + x.Error; got != c.want {
				t.Errorf("%s: %s", got, x.Cause)
			}
		})
	}
}

func TestResultWriter(t *testing.T) {
	files := &objects{m: map[string]string{}}
	e := open(t, vfs.NewMem(), echo, func(c *engine.Config) { c.Objects = files })
	x := end(t, e, start(t, e, "a", distributed(`"ToleratedFailureCount":1,"ResultWriter":{"Resource":
		"arn:aws:states:::s3:putObject","Parameters":{"Bucket":"b","Prefix":"out"}},`), `["good","bad"]`).ARN)
	if x.Status != engine.Succeeded || !strings.Contains(string(x.Output), `"Bucket":"b","Key":"out/`) {
		t.Fatalf("%s %s %s", x.Status, x.Output, x.Cause)
	}
	var kinds []string
	for key, text := range files.m {
		switch {
		case strings.HasSuffix(key, "SUCCEEDED_0.json") && strings.Contains(text, `"Output":"\"good\""`):
			kinds = append(kinds, "good")
		case strings.HasSuffix(key, "FAILED_0.json") && strings.Contains(text, `"Error":"Bad"`):
			kinds = append(kinds, "bad")
		case strings.HasSuffix(key, "manifest.json"):
			kinds = append(kinds, "manifest")
		}
	}
	if len(kinds) != 3 {
		t.Errorf("files: %v: %v", kinds, files.m)
	}
}

// A redrive runs again only the children that failed.
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
	if x.Status != engine.Failed {
		t.Fatal(x.Status)
	}
	if _, err := e.Redrive(t.Context(), x.ARN); err != nil {
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
