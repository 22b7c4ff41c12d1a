// Drives an MCP server with the official TypeScript SDK: one scripted conversation over stdio or Streamable HTTP.
// Usage: node client.mjs stdio COMMAND ARGS... | node client.mjs http URL
// Prints one JSON line with the number of requests that it made and how many failed, as the script expects.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

const [kind, ...rest] = process.argv.slice(2);
const transport = kind === "http"
  ? new StreamableHTTPClientTransport(new URL(rest[0]), { requestInit: { headers: { Authorization: "Bearer opaque-demo-credential-1" } } })
  : new StdioClientTransport({ command: rest[0], args: rest.slice(1), stderr: "ignore" });

const client = new Client(
  { name: "demo-typescript", version: "1.0.0" },
  { capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } } },
);
let sampled = 0, elicited = 0, progress = 0;
client.setRequestHandler(CreateMessageRequestSchema, async () => {
  sampled++;
  return { role: "assistant", model: "demo-model", stopReason: "endTurn", content: { type: "text", text: "A sampled answer." } };
});
client.setRequestHandler(ElicitRequestSchema, async () => {
  elicited++;
  return { action: "accept", content: { name: "Ada", check: true, color: "red", email: "ada@example.com", integer: 7, number: 3 } };
});
client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: "file:///demo", name: "demo" }] }));

let requests = 0, errors = 0;
const ask = async (what) => { requests++; try { return await what(); } catch { errors++; } };
const call = (name, args, options) => ask(() => client.callTool({ name, arguments: args }, undefined, options));

await client.connect(transport);
const tools = await ask(() => client.listTools());
await call("echo", { message: "hello from TypeScript" });
await call("get-sum", { a: 19, b: 23 });
await call("get-structured-content", { location: "Chicago" });
await call("get-tiny-image", {});
await call("get-annotated-message", { messageType: "error", includeImage: false });
await call("trigger-sampling-request", { prompt: "Say something", maxTokens: 20 });
await call("trigger-elicitation-request", {});
await call("trigger-long-running-operation", { duration: 0.4, steps: 4 }, { onprogress: () => { progress++; } });
const stop = new AbortController();
setTimeout(() => stop.abort(), 150);
await call("trigger-long-running-operation", { duration: 5, steps: 5 }, { signal: stop.signal });
await call("no-such-tool", {});
await ask(() => client.listResources());
await ask(() => client.listPrompts());
await ask(() => client.getPrompt({ name: "simple-prompt" }));
await ask(() => client.ping());
await new Promise((r) => setTimeout(r, 300));
await client.close();
console.log(JSON.stringify({ tools: tools?.tools.length ?? 0, requests, errors, sampled, elicited, progress }));
