package compile

import "github.com/rayorch/rayorch/internal/compile/query"

// MaxOutput is how many bytes of JSON a job may give as its output; larger ones belong on the storage.
const MaxOutput = "32768"

// OutputMark starts the line on which a job's output stands.
const OutputMark = "::rayorch-output::"

// The wrapper round a command is POSIX sh and needs nothing beyond what any image has. The command runs in a subshell,
// so that its exit and traps are its own; Ray stops a job's whole process tree, so the command sees every signal itself,
// and the traps here only keep the shell alive to tidy up after it. A line break in JSON is only ever space between its
// parts, so that the output can be put on one line as it is.
const (
	wrapperTemp = `RAYORCH_OUTPUT=$(mktemp "${TMPDIR:-/tmp}/rayorch.XXXXXX")`
	// Without a claim, Ray's pods need not have the storage: a job may not use it.
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

// wrapperEndAlways marks an output also where there is none, below lines of its own: where the state machine itself reads a
// log's last few lines, they hold nothing that the job printed, so that no line too long can end the run.
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

// wrapperHome gives pods a HOME that they can write to: an image has none for a user that it does not know.
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
	if c.at != nil && c.at.mode != modeJob && c.ray {
		return wrapperEndAlways
	}
	return wrapperEnd
}

// wrapper is a command with the wrapper around it. Its two halves are variables of the run, because they are the same in every step.
func wrapper(command query.Expr) query.Expr {
	around := query.Var("wrapper")
	return query.Concat(around.Get("start"), command, around.Get("end"))
}
