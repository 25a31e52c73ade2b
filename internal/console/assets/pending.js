// Asks the server which tasks do not run yet, and why: no event of the history says so.

import { extra, place } from "./api.js";
import { Poll } from "./live.js";

const every = 1000; // ms

// watchPending lays over the fold what is pending, while a step may be. It returns null where the server does not tell.
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
