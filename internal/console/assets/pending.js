// Asks the server which tasks do not run yet, and why, and whether the execution is parked: the history does not show it.

import { extra, place } from "./api.js";
import { Poll } from "./live.js";

const every = 1000; // ms

// watchPending updates the fold with the pending tasks while a step may be pending. It returns null if the server does not report them.
export function watchPending(arn, fold, onnews) {
  if (!place.features.has("pending")) return null;
  let asked = false;
  const poll = new Poll({
    every,
    async ask() {
      // An execution is parked or not when the page opens; a parked one stays so until it is resumed or stopped.
      if (asked && !fold.parked && !fold.steps.some((e) => e.status === "pending" || e.status === "running")) return;
      const { pending, parked } = await extra("pending", { execution: arn });
      asked = true;
      fold.showWaiting(pending);
      fold.parked = parked ?? "";
      onnews();
    },
  });
  poll.run();
  return poll;
}
