// Runs an operation over "ws" or "sse" at the URL; the operation is JSON on stdin. With `stopAfter`
// it leaves after as many results.
import { readFileSync } from "node:fs";
import { createClient as createSse } from "graphql-sse";
import { createClient as createWs } from "graphql-ws";
import WebSocket from "ws";

const [kind, url] = process.argv.slice(2);
const { query, variables, stopAfter } = JSON.parse(readFileSync(0, "utf8"));
const client =
  kind === "ws"
    ? createWs({ url, webSocketImpl: WebSocket, retryAttempts: 0 })
    : createSse({ url, singleConnection: false, retryAttempts: 0 });

const results = [];
let ended = "stopped";
let error = null;
await new Promise((resolve) => {
  const leave = client.subscribe(
    { query, variables },
    {
      next(result) {
        results.push(result);
        if (results.length === stopAfter) {
          leave();
          resolve();
        }
      },
      error(found) {
        ended = "error";
        error = Array.isArray(found) ? found : String(found);
        resolve();
      },
      complete() {
        if (ended === "stopped" && results.length !== stopAfter) ended = "complete";
        resolve();
      },
    },
  );
});
await client.dispose();
console.log(JSON.stringify({ ended, error, results }));
