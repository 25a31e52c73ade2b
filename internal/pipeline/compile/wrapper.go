package compile

import (
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// MaxOutput is the most bytes of JSON that a job can return as its output; larger outputs belong on the storage.
const MaxOutput = "32768"

// OutputMark starts the line of a log that contains a job's output.
const OutputMark = "::rayorch-output::"

// The wrapper around a command is POSIX sh and needs nothing that an image may lack. The command runs in a subshell, so that its exit
// and traps do not affect the wrapper. Ray signals a job's whole process tree, so that the command gets every signal itself; the traps
// here only keep the shell alive to clean up. In JSON, a line break is always white space between tokens, so that the output fits on
// one line unchanged.
const (
	wrapperTemp = `RAYORCH_OUTPUT=$(mktemp "${TMPDIR:-/tmp}/rayorch.XXXXXX")`
	// Without a claim, Ray's pods may lack the storage, and the job may not need it.
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
  echo "rayorch: error: the output of step $RAYORCH_STEP has $size bytes, more than ` + MaxOutput + `: write it to a file in $RAYORCH_STORAGE and give its path as the output" >&2
  exit 121
fi
printf '\n` + OutputMark + `'; tr '\n\r' '  ' <"$RAYORCH_OUTPUT"; echo
`
)

// wrapperEndAlways prints a marked line even if there is no output, after empty lines. If the state machine itself reads a log's last
// lines, they then contain nothing else that the job printed, and no long line of the job can exceed a payload.
const wrapperEndAlways = `
)
code=$?
[ "$code" -eq 0 ] || exit "$code"
size=$(($(wc -c <"$RAYORCH_OUTPUT")))
if [ "$size" -gt ` + MaxOutput + ` ]; then
  echo "rayorch: error: the output of step $RAYORCH_STEP has $size bytes, more than ` + MaxOutput + `: write it to a file in $RAYORCH_STORAGE and give its path as the output" >&2
  exit 121
fi
[ "$size" -gt 0 ] || echo null >"$RAYORCH_OUTPUT"
printf '\n\n\n\n\n\n\n` + OutputMark + `'; tr '\n\r' '  ' <"$RAYORCH_OUTPUT"; echo
`

// wrapperHome sets a HOME that pods can write to: an image has no home for a user that it does not know.
const wrapperHome = `[ -w "$HOME" ] || export HOME="${TMPDIR:-/tmp}"
`

// wrapperStart is the start of the wrapper for the target.
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

// wrapperEnd is the end of the wrapper for the target.
func (c *compiler) wrapperEnd() string {
	if c.at != nil && c.at.mode != pipeline.SubmitJob && c.ray {
		return wrapperEndAlways
	}
	return wrapperEnd
}

// wrapper is a command with the wrapper around it. Its two halves are variables of the run, because they are the same in every step.
func wrapper(command query.Expr) query.Expr {
	around := query.Var("wrapper")
	return query.Concat(around.Get("start"), command, around.Get("end"))
}
