// Formats of times, durations and names.

// nameOf returns the last part of an ARN.
export const nameOf = (arn) => arn.slice(arn.lastIndexOf(":") + 1);

// machineOf returns the state machine's name in an execution's ARN. In the ARN of a Map run's child, a label follows the name.
export const machineOf = (arn) => (arn.split(":")[6] ?? "").split("/")[0];

// duration formats seconds: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min, 3 d 4 h.
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

// moment formats a date and time in the browser's time zone. Elements have the exact UTC time as their title.
export const moment = (seconds) => `${day(seconds)} ${clock(seconds)}`;

export const exact = (seconds) => new Date(seconds * 1000).toISOString();

export const count = (n) => n.toLocaleString("en-US");

export const now = () => Date.now() / 1000;

// statusWords maps the statuses of executions to those of states, which determine the color and the icon.
export const statusWords = {
  RUNNING: "running", SUCCEEDED: "succeeded", FAILED: "failed", TIMED_OUT: "failed", ABORTED: "cancelled",
  PENDING_REDRIVE: "pending",
};

export const statusNames = {
  RUNNING: "Running", SUCCEEDED: "Succeeded", FAILED: "Failed", TIMED_OUT: "Timed out", ABORTED: "Aborted",
  PENDING_REDRIVE: "Pending redrive",
};
