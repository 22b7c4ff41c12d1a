// Makes the requests of a scenario with the official TypeScript SDK. Reads {to, authorization, steps} on standard input: to is a URL or
// a command line. The SDK comes from the folder in NPM_FOLDER.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.NPM_FOLDER + "/package.json");
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");

const { to, authorization, steps } = JSON.parse(readFileSync(0, "utf8"));
const transport = to[0].startsWith("http")
  ? new StreamableHTTPClientTransport(new URL(to[0]), authorization ? { requestInit: { headers: { Authorization: authorization } } } : {})
  : new StdioClientTransport({ command: to[0], args: to.slice(1), stderr: "ignore", env: process.env });

const client = new Client({ name: "scenario-typescript", version: "1.0.0" });
await client.connect(transport);
for (const { tool, args } of steps) {
  if (tool) await client.callTool({ name: tool, arguments: args ?? {} });
  else await client.listTools();
}
await client.close();
