// Messages of a compiled definition about references that found nothing. internal/progress is the same fold for the terminal.

// warningsOf returns the warnings in a state's output: of a condition's state, or of the check of the pipeline's outputs.
export function warningsOf(state, output) {
  const condition = state.startsWith("When ");
  if (!condition && state !== "Check outputs") return [];
  let said;
  try {
    said = JSON.parse(output);
  } catch {
    return [];
  }
  if (!Array.isArray(said?.missing) || condition && !said.condition) return []; // an output of the step before
  const step = state.slice("When ".length);
  const begin = !condition ? "" : said.values ? `step ${step} was skipped: its condition refers to ` : `step ${step} was not skipped, but its condition refers to `;
  return said.missing.map((missing) => begin + missing);
}

// raised returns the error of an expression. An error that a compiled definition raises itself has its own name and message, which
// follow the expression.
export function raised(details) {
  const [, text] = (details.cause ?? "").split(" threw an error during evaluation. D3137: ");
  const own = /^(Step\.[^:]*): ([^]*)$/.exec(text ?? "");
  return own ? { error: own[1], cause: own[2] } : { error: details.error, cause: details.cause ?? "" };
}
