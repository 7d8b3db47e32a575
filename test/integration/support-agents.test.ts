// Shows that the watcher of agents sees what a program prints, serves and how it ends. The programs here are
// a few lines each; the real agents are the business of the end-to-end tests.
import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { Agent } from "../support/agents.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

const SERVES = `let polls = 0;
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ polls: ++polls }) });
console.error("a line for people");
console.error(JSON.stringify({ level: 30, msg: "admin listening", address: "127.0.0.1:" + server.port }));
process.on("SIGTERM", () => process.exit(7));`;

function start(code: string): Agent {
  return new Agent("send", spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "pipe"] }));
}

test("Agent.waitForStatus() polls the status until it fits", async () => {
  await using agent = start(SERVES);
  const status = await agent.waitForStatus<{ polls: number }>("three polls", ({ polls }) => polls >= 3);
  expect(status.polls).toBe(3);
  expect(agent.logs).toHaveLength(1);
  expect(agent.stderr).toStartWith("a line for people\n");
});

test("Agent.stop() returns the exit status, and undefined for a program that was killed", async () => {
  await using polite = start(SERVES);
  await polite.adminUrl();
  expect(await polite.stop()).toBe(7);
  await using killed = start(SERVES);
  await killed.adminUrl();
  expect(await killed.stop("SIGKILL")).toBeUndefined();
});

test("Agent.waitForLog() fails as soon as the program ends without the line, and shows its log", async () => {
  await using agent = start("console.error('no such file'); process.exit(78);");
  await expect(agent.waitForLog("ready", ({ msg }) => msg === "ready", 30_000)).rejects.toThrow(
    "no such file",
  );
  expect(agent.exitStatus).toBe(78);
});

test("Agent.waitForLog() finds a line that arrives in pieces", async () => {
  await using agent = start(`process.stderr.write('{"msg":"in ');
setTimeout(() => process.stderr.write('pieces","n":1}\\n'), 50); setInterval(() => {}, 1000);`);
  expect((await agent.waitForLog("pieces", ({ msg }) => msg === "in pieces")).n).toBe(1);
});

test("waitFor() gives up at its deadline and says what it waited for", async () => {
  await expect(
    waitFor(
      "the end of time",
      30,
      () => false,
      () => "it is still young",
    ),
  ).rejects.toThrow("waited 30 ms in vain for the end of time\nit is still young");
});

test("Workspace keeps files for the owner's eyes and removes them all", async () => {
  const workspace = new Workspace();
  const path = workspace.write("deep/er/secret", "x");
  expect((await Bun.file(path).stat()).mode & 0o777).toBe(0o600);
  workspace.remove();
  expect(await Bun.file(path).exists()).toBe(false);
});
