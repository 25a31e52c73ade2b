package compile

import (
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// MaxOutput is the maximum size of a job's output in bytes of JSON. Larger outputs belong on the storage.
const MaxOutput = "32768"

// OutputMark is the start of the log line that contains a job's output.
const OutputMark = "::rayorch-output::"

// The wrapper around a command is a POSIX shell script that uses only commands that every image has. The command runs in a subshell, so
// that its exit and traps do not affect the wrapper. Ray signals all processes of a job, so that the command gets every signal itself; the
// traps of the wrapper only make sure that it removes its file. In JSON, a line break is always white space between tokens, so that the
// wrapper can print the output on one line without changing its value.
const (
	wrapperTemp = `RAYORCH_OUTPUT=$(mktemp "${TMPDIR:-/tmp}/rayorch.XXXXXX")`
	// Without a claim, Ray's pods may not have the storage, but the job may not need it.
	wrapperStorage   = ` && mkdir -p "$RAYORCH_STORAGE" || exit 120` + "\n"
	wrapperNoStorage = ` || exit 120
mkdir -p "$RAYORCH_STORAGE" || echo "rayorch: warning: step $RAYORCH_STEP has no storage directory: set storage.claim" >&2
`
	wrapperStart = `export RAYORCH_OUTPUT
trap 'rm -f "$RAYORCH_OUTPUT"' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
(
`
	wrapperEnd = `
)
code=$?
[ "$code" -eq 0 ] || exit "$code"
[ -s "$RAYORCH_OUTPUT" ] || exit 0
size=$(($(wc -c <"$RAYORCH_OUTPUT")))
if [ "$size" -gt ` + MaxOutput + ` ]; then
  echo "rayorch: error: the output of step $RAYORCH_STEP has $size bytes (limit ` + MaxOutput + `): write it to a file in $RAYORCH_STORAGE and return the file's path" >&2
  exit 121
fi
{ printf '\n` + wrapperPrint + `
`
	// Ray writes its announcement, "Running entrypoint for job", into the job's log at any time until shortly after the job's start. dd
	// prints everything with one write, so that the announcement cannot divide the marked line.
	wrapperPrint = OutputMark + `'; tr '\n\r' '  ' <"$RAYORCH_OUTPUT"; echo; } | dd obs=64k 2>/dev/null`
)

// wrapperEndAlways prints empty lines and then the marked line, even if there is no output. It is for the modes in which the state machine
// reads the last lines of the log: these lines then contain nothing else that the job printed, so that a long line cannot exceed the limit
// on a payload. Ray's announcement contains the command, so it can be long and contain the mark: the wrapper waits for it, at most 2
// seconds, so that it is not one of the last lines.
const wrapperEndAlways = `
)
code=$?
[ "$code" -eq 0 ] || exit "$code"
size=$(($(wc -c <"$RAYORCH_OUTPUT")))
if [ "$size" -gt ` + MaxOutput + ` ]; then
  echo "rayorch: error: the output of step $RAYORCH_STEP has $size bytes (limit ` + MaxOutput + `): write it to a file in $RAYORCH_STORAGE and return the file's path" >&2
  exit 121
fi
[ "$size" -gt 0 ] || echo null >"$RAYORCH_OUTPUT"
for i in 1 2 3 4 5 6 7 8 9; do
  [ -f /dev/stdout ] && ! grep -q 'Running entrypoint for job' /dev/stdout || break
  sleep .2
done
{ printf '\n\n\n\n\n\n\n` + wrapperPrint + `
`

// wrapperHome sets HOME to a writable directory: an image has no home directory for a user that it does not know.
const wrapperHome = `[ -w "$HOME" ] || export HOME="${TMPDIR:-/tmp}"
`

// wrapperStart returns the part of the wrapper before the command.
func (c *compiler) wrapperStart() string {
	home, storage := "", wrapperStorage
	if c.at != nil && c.job {
		home = wrapperHome
	}
	if c.at != nil && c.at.claim == "" {
		storage = wrapperNoStorage
	}
	return home + wrapperTemp + storage + wrapperStart
}

// wrapperEnd returns the part of the wrapper after the command.
func (c *compiler) wrapperEnd() string {
	if c.at != nil && c.at.mode != pipeline.SubmitJob && c.ray {
		return wrapperEndAlways
	}
	return wrapperEnd
}

// wrapper returns a command in the wrapper. Both parts of the wrapper are in variables of the run, because they are the same in every step.
func wrapper(command query.Expr) query.Expr {
	around := query.Var("wrapper")
	return query.Concat(around.Get("start"), command, around.Get("end"))
}
