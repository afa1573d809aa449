// Runs the agent at the URL with each of the messages in turn (JSON on stdin): a text is said, an
// object with `resume` answers what the agent waits for. With `stopAt` the run is aborted at the
// first event of that type. Prints what the client made of it.
import { readFileSync } from "node:fs";
import { HttpAgent } from "@ag-ui/client";

const { say, stopAt } = JSON.parse(readFileSync(0, "utf8"));
const agent = new HttpAgent({ url: process.argv[2], threadId: "thread-1" });
const events = [];
const errors = [];
const subscriber = {
  onEvent({ event }) {
    events.push(event);
    if (event.type === stopAt) agent.abortRun();
  },
};

for (const said of say) {
  const parameters = { forwardedProps: { userId: "u-1" } };
  if (typeof said === "string") {
    agent.addMessage({ id: `said-${events.length}`, role: "user", content: said });
  } else {
    parameters.resume = agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, ...said.resume }));
  }
  try {
    await agent.runAgent(parameters, subscriber);
  } catch (error) {
    errors.push(String(error.message ?? error));
  }
}
const { messages, pendingInterrupts } = agent;
console.log(JSON.stringify({ messages, pendingInterrupts, events, errors }));
