// Steps that are a Parallel state: in a cluster a step's work is done by states inside one, whose names end with the
// step's, as in "Submit train". A person sees it as one step. internal/progress does the same for the terminal.

// endOf returns what the names of the states inside end with.
function endOf(name) {
  if (name.startsWith("Clean up after ")) return `cleaning up after ${name.slice("Clean up after ".length)}`;
  return name === "Place files" ? "placing of files" : name;
}

// wordsOf returns what a state inside does for the step around it; null if the state is not one of the step's.
function wordsOf(step, state) {
  const end = ` ${endOf(step.state)}`;
  return state.endsWith(end) ? state.slice(0, -end.length) : null;
}

// stepAround returns the nearest Parallel that stands for a step and contains a state, or null.
export function stepAround(stack, state) {
  for (let i = stack.length - 1; i >= 0; i--) {
    const { entry } = stack[i];
    if (entry.kind === "Parallel" && wordsOf(entry, state) !== null) return entry;
  }
  return null;
}

// isInside reports whether a state does the work of a step.
export const isInside = (step, state) => wordsOf(step, state) !== null;

// begins reports whether a state is the first one inside a step.
export const begins = (step, state) => wordsOf(step, state) === "Begin";

// entered folds the entry of a state inside; set changes the step's status.
export function entered(step, state, when, set) {
  if (!step.isStep) {
    Object.assign(step, { isStep: true, logs: [] });
    set("pending");
  }
  reopen(step, set);
  const attempt = step.attempts.at(-1);
  switch (wordsOf(step, state)) {
    case "Attempt":
      close(step, when);
      Object.assign(step, { attempt: step.attempt + 1, job: null, gaveUp: false, waits: null });
      step.attempts.push({ n: step.attempt, scheduled: when, started: 0, ended: 0, status: "pending", error: "", cause: "", job: null });
      set("pending");
      break;
    case "Leave alone": // its pod has started
      if (step.status === "pending") set("running");
      if (attempt && !attempt.ended) attempt.status = "running";
      break;
    case "Wait to retry":
      close(step, when);
      set("retrying");
      break;
    case "Give up":
      close(step, when);
      step.gaveUp = true; // unless the step's exit shows that it was caught
      set("retrying");
  }
}

// reopen folds the resumption of the step by a redrive.
function reopen(step, set) {
  if (step.status !== "failed" && step.status !== "cancelled") return;
  Object.assign(step, { ended: 0, gaveUp: false });
  set("running");
}

// fails folds the failure of the Parallel: it gave up, or a state inside failed and was not caught.
export function fails(step, error, cause, when) {
  if (!step.gaveUp) Object.assign(step, { gaveUp: true, error: error ?? "", cause: cause ?? "" });
  close(step, when);
}

function close(step, when) {
  const attempt = step.attempts.at(-1);
  if (attempt && !attempt.ended) Object.assign(attempt, { ended: when, status: "failed", error: step.error, cause: step.cause });
}

// scheduled records a task that may have the log of the job: the task that runs the job, or a call about the job.
export function scheduled(step, state, when, set) {
  reopen(step, set);
  if (["Submit", "Run", "Look at"].includes(wordsOf(step, state))) step.logs.push({ state, attempt: step.attempt, at: when });
}

// left folds the result of a state inside. The prefix of a variable's name says what the variable holds: id the job's ID, end
// how an attempt failed, job the status of the job in Ray.
export function left(step, details, runs) {
  for (const [name, text] of Object.entries(details?.assignedVariables ?? {})) {
    const value = read(text);
    if (name.startsWith("id") && typeof value === "string") step.job = { ...step.job, submission: value };
    if (name.startsWith("end") && value?.Error) Object.assign(step, { error: value.Error, cause: value.Cause ?? "" });
    if (!name.startsWith("job")) continue;
    if (value?.status && value.status !== "PENDING") runs();
    waits(step, value?.status === "PENDING" ? value.message : !value?.status && value?.deployment ?
      [`RayJob ${value.deployment}`, value.reason, value.message].filter(Boolean).join(": ") : "");
  }
  if (wordsOf(step, details?.name ?? "") === "Look for pod of") waits(step, read(details?.output)?.why);
  const given = read(details?.output);
  if (given && typeof given === "object" && Object.keys(given).join() === "Output") step.job = { ...step.job, output: given.Output };
  const attempt = step.attempts.at(-1);
  if (attempt) attempt.job = step.job;
}

// waits records why the newest attempt does not run yet.
function waits(step, reason) {
  if (step.status === "pending" && reason) step.waits = { since: step.attempts.at(-1)?.scheduled ?? step.entered, reason };
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// logInside finds the log of an attempt of such a step: of the tasks that may have it the last that has, for a reader
// that was interrupted has begun again.
export function logInside(steps, logs, step, attempt, order) {
  for (const at of step.logs.toReversed()) {
    const found = at.attempt === attempt ? logAt(steps, logs, step, at, order) : null;
    if (found) return found;
  }
  return null;
}

// A log's beginning may seem to be a little before its task's: they are noted one after the other.
const clockStep = 0.1;

// logAt finds the log of one task by when it began: a log belongs to the last task of its state that was scheduled
// before. Iterations of a Map may be scheduled in one moment; they are told apart by their order.
function logAt(steps, logs, step, at, order) {
  const others = steps.flatMap((s) => (s.logs ?? []).filter((o) => o.state === at.state).map((o) => ({ step: s, at: o.at })));
  const same = others.filter((o) => o.at === at.at);
  const began = (log) => Math.max(0, ...others.map((o) => o.at).filter((t) => t <= new Date(log.Started).getTime() / 1000 + clockStep));
  const mine = logs.filter((l) => l.State === at.state && began(l) === at.at).sort(order);
  if (mine.length < same.length) return null;
  return mine[same.findIndex((o) => o.step === step)]?.Task ?? null;
}
