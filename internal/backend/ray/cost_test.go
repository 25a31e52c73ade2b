package ray_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// BenchmarkEnd measures the delay between Ray's end_time of a job and the time when the end is seen. TestWatcherSeesEnds checks its
// maximum in virtual time, which does not depend on how busy the machine is.
func BenchmarkEnd(b *testing.B) {
	c := raytest.Ray{Found: raytest.Real(b, false)}.Client(b)
	var lates []time.Duration
	for b.Loop() {
		job := end(b, c, submit(b, c, "true"))
		lates = append(lates, time.Since(job.EndTime.Time()))
	}
	slices.Sort(lates)
	b.ReportMetric(float64(lates[len(lates)/2].Milliseconds()), "median-late-ms")
	b.ReportMetric(float64(lates[len(lates)-1].Milliseconds()), "longest-late-ms")
}

// fill adds records of finished jobs to Ray in the way Ray's job manager does, because running so many jobs would take an hour.
const fill = `
import asyncio, sys
from ray._raylet import GcsClient
from ray.dashboard.modules.job.common import JobInfo, JobInfoStorageClient, JobStatus
client = JobInfoStorageClient(GcsClient(address=sys.argv[1]))
async def main():
    for i in range(int(sys.argv[2]), int(sys.argv[3])):
        await client.put_info("fill-%d" % i, JobInfo(
            status=JobStatus.SUCCEEDED, entrypoint="python train.py --epochs 3", message="Job finished successfully.",
            start_time=1, end_time=2, metadata={"execution": "arn:aws:states:us-east-1:123456789012:execution:m:%d" % i},
            runtime_env={"env_vars": {"A": "b" * 40}}, driver_node_id="a" * 56, driver_exit_code=0))
asyncio.run(main())
`

// BenchmarkRecords measures the cost of reading one job and of listing all jobs with 1, 100 and 1,000 records: the time, and the CPU
// time of all processes of Ray.
func BenchmarkRecords(b *testing.B) {
	head := &ray.Head{Dir: b.TempDir(), Python: raytest.Python(b), CPUs: 1, ObjectStoreBytes: 100 << 20, NoToken: true}
	state, err := head.Start(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = head.Stop(b.Context()) }()
	c, err := ray.New(ray.Config{Address: state.Address})
	if err != nil {
		b.Fatal(err)
	}
	have := 0
	for _, want := range []int{1, 100, 1000} {
		out, err := exec.Command(state.Python, "-I", "-c", fill, state.GCS, strconv.Itoa(have), strconv.Itoa(want)).CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		have = want
		b.Run(fmt.Sprintf("get/%d", want), func(b *testing.B) {
			cost(b, state, func() error { _, err := c.Get(b.Context(), "fill-0"); return err })
		})
		b.Run(fmt.Sprintf("list/%d", want), func(b *testing.B) {
			cost(b, state, func() error { _, err := c.List(b.Context()); return err })
		})
	}
}

// cost measures the CPU time of Ray per request. It subtracts the CPU time that an idle Ray uses.
func cost(b *testing.B, state ray.State, request func() error) {
	idle := rayCPU(b, state)
	time.Sleep(time.Second)
	perSecond := rayCPU(b, state) - idle
	before, begin := rayCPU(b, state), time.Now()
	for b.Loop() {
		if err := request(); err != nil {
			b.Fatal(err)
		}
	}
	used := rayCPU(b, state) - before - time.Duration(float64(perSecond)*time.Since(begin).Seconds())
	b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "ray-cpu-ms/op")
}

// rayCPU returns the CPU time that all processes of a Ray have used. It is 0 on systems without /proc.
func rayCPU(b *testing.B, state ray.State) time.Duration {
	b.Helper()
	ids, err := proc.Tree(state.Leader, state.Mark)
	if err != nil {
		b.Fatal(err)
	}
	var ticks int
	for _, id := range ids {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id.PID))
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		if len(fields) > 12 {
			user, _ := strconv.Atoi(string(fields[11]))
			system, _ := strconv.Atoi(string(fields[12]))
			ticks += user + system
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // the clock tick on all Linux systems that Go supports
}
