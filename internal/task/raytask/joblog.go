package raytask

import (
	"strings"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// notOfRay leaves out the lines that Ray writes into a job's log: they say nothing to the user, whose command the entrypoint
// wraps. Ray repeats the entrypoint, which may have many lines, and may do so after what the job printed first, in the middle
// of a line.
func notOfRay(id, entrypoint string) func(line string) (string, bool) {
	announce := ray.LinesOf("Running entrypoint for job " + id + ": " + entrypoint + "\n")
	var echo []string // what is still to come of it
	return func(line string) (string, bool) {
		if len(echo) > 0 && line == echo[0] {
			echo = echo[1:]
			return "", false
		}
		if own, ok := strings.CutSuffix(line, announce[0]); ok {
			echo = announce[1:]
			return own, own != ""
		}
		return line, !strings.Contains(line, "INFO job_manager.py:") || !strings.HasSuffix(line, "Runtime env is setting up.")
	}
}

// runtimeEnvFailed tells whether Ray could not set up the job's runtime environment. Some of it Ray checks only as it starts the
// job's supervisor: its traceback says so.
func runtimeEnvFailed(job ray.Job) bool {
	return strings.HasPrefix(job.Message, "runtime_env setup failed") ||
		strings.HasPrefix(job.Message, "Failed to start supervisor actor") && strings.Contains(job.Message, "/runtime_env/")
}

// why is what Ray says of a job's end, without the lines of the log that it quotes: the runner has better ones.
func why(job ray.Job, otherwise string) string {
	if job.Message == "" {
		return otherwise
	}
	reason, _, _ := strings.Cut(job.Message, ", last available logs")
	if len(reason) > 4<<10 { // a traceback: its end says most
		reason = "..." + strings.ToValidUTF8(reason[len(reason)-4<<10:], "")
	}
	return reason
}
