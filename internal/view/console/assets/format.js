// Words for times, lengths and names.

// nameOf is an ARN's last part.
export const nameOf = (arn) => arn.slice(arn.lastIndexOf(":") + 1);

// machineOf is the state machine's name in an execution's ARN; a Map run's child has its label beside it.
export const machineOf = (arn) => (arn.split(":")[6] ?? "").split("/")[0];

// duration writes seconds as people say them: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min, 3 d 4 h.
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

const two = (n) => String(n).padStart(2, "0");

export function clock(seconds) {
  const d = new Date(seconds * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function day(seconds) {
  const d = new Date(seconds * 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

// moment is day and time on this browser's clock; its title tells the exact one.
export const moment = (seconds) => `${day(seconds)} ${clock(seconds)}`;

export const exact = (seconds) => new Date(seconds * 1000).toISOString();

export const count = (n) => n.toLocaleString("en-US");

export const now = () => Date.now() / 1000;

// statusWords are the API's words for an execution's status as those of a state, for colour and picture.
export const statusWords = {
  RUNNING: "running", SUCCEEDED: "succeeded", FAILED: "failed", TIMED_OUT: "failed", ABORTED: "cancelled",
  PENDING_REDRIVE: "pending",
};

export const statusNames = {
  RUNNING: "Running", SUCCEEDED: "Succeeded", FAILED: "Failed", TIMED_OUT: "Timed out", ABORTED: "Aborted",
  PENDING_REDRIVE: "Waiting for redrive",
};
