package raytask

import (
	"strings"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// jobLines returns a filter for the lines of a job's log that removes those that Ray wrote. These only confuse the user: they contain the
// entrypoint, which is the user's command with rayorch's shell code around it. Ray prints the entrypoint, which may have several lines,
// possibly after the job's first output and in the middle of a line. The filter returns the job's part of a line, and false if there
// is none (joblog.Log.Own).
func jobLines(id, entrypoint string) func(line string) (string, bool) {
	announce := ray.LinesOf("Running entrypoint for job " + id + ": " + entrypoint + "\n")
	var echo []string // lines of the entrypoint that Ray has not printed yet
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

// runtimeEnvFailed reports whether Ray failed to set up the job's runtime environment. Ray validates some fields only when it starts the
// job's supervisor actor. Then the message is a traceback that contains the path of Ray's package runtime_env.
func runtimeEnvFailed(job ray.Job) bool {
	return strings.HasPrefix(job.Message, "runtime_env setup failed") ||
		strings.HasPrefix(job.Message, "Failed to start supervisor actor") && strings.Contains(job.Message, "/runtime_env/")
}

// why returns Ray's message about the end of a job, or otherwise if there is none. It removes the log lines that Ray quotes in the
// message: the caller adds them itself, redacted.
func why(job ray.Job, otherwise string) string {
	if job.Message == "" {
		return otherwise
	}
	reason, _, _ := strings.Cut(job.Message, ", last available logs")
	if len(reason) > 4<<10 { // a traceback: the error is at its end
		reason = "..." + strings.ToValidUTF8(reason[len(reason)-4<<10:], "")
	}
	return reason
}
