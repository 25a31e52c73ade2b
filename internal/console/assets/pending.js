// Asks the server which tasks do not run yet, and why, which the history does not show.

import { extra, place } from "./api.js";
import { Poll } from "./live.js";

const every = 1000; // ms

// watchPending updates the fold with the pending tasks while a step may be pending. It returns null if the server does not report them.
export function watchPending(arn, fold, onnews) {
  if (!place.features.has("pending")) return null;
  const poll = new Poll({
    every,
    async ask() {
      if (!fold.steps.some((e) => e.status === "pending" || e.status === "running")) return;
      fold.showWaiting((await extra("pending", { execution: arn })).pending);
      onnews();
    },
  });
  poll.run();
  return poll;
}
