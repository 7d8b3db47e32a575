// Runs the demonstration as a newcomer would, and looks at what it leaves behind.
import { expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const DEADLINE_MS = 60_000;

type Run = {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly status: () => number | null;
};

function startDemo(workspace: Workspace, ...args: string[]): Run {
  let output = "";
  const child = spawn("npm", ["start", "--silent", "--", ...args], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR: workspace.directory },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  return { child, output: () => output, status: () => child.exitCode };
}

/** Process ids of agents whose configuration lies in the workspace. */
function findAgents(workspace: Workspace): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${workspace.directory}/`);
    } catch {
      return false;
    }
  });
}

async function waitForEnd({ child, output, status }: Run): Promise<number | null> {
  await waitFor(
    "the end of the demonstration",
    DEADLINE_MS,
    () => child.exitCode !== null || child.signalCode !== null,
    output,
  );
  return status();
}

test("npm start -- --seconds 3 settles its account, says so, and leaves nothing behind", async () => {
  using workspace = new Workspace();
  const run = startDemo(workspace, "--seconds", "3", "--rate", "500");
  expect({ status: await waitForEnd(run), output: run.output() }).toMatchObject({ status: 0 });
  expect(run.output()).toContain("It agrees.");
  const published = Number(
    run
      .output()
      .match(/published ([\d,]+)/)?.[1]
      ?.replaceAll(",", ""),
  );
  expect(published).toBeGreaterThan(500);
  expect(run.output()).toMatch(/filtered .* no-debug \d+/);
  expect(findAgents(workspace)).toEqual([]);
  expect(readdirSync(workspace.directory)).toEqual([]);
});

test("npm start ends with its account on Ctrl-C, and leaves nothing behind", async () => {
  using workspace = new Workspace();
  const run = startDemo(workspace);
  await waitFor("the first arrivals", DEADLINE_MS, () => /arrived [1-9]/.test(run.output()), run.output);
  // A terminal sends the signal to the whole group in front.
  process.kill(-(run.child.pid ?? 0), "SIGINT");
  await waitForEnd(run);
  expect(run.output()).toContain("It agrees.");
  expect(findAgents(workspace)).toEqual([]);
  expect(readdirSync(workspace.directory)).toEqual([]);
});

test("npm start takes its agents along when it is killed", async () => {
  using workspace = new Workspace();
  const run = startDemo(workspace);
  await waitFor("both agents", DEADLINE_MS, () => findAgents(workspace).length === 2, run.output);
  process.kill(-(run.child.pid ?? 0), "SIGKILL");
  await waitFor("the end of both agents", DEADLINE_MS, () => findAgents(workspace).length === 0, run.output);
});

test("npm start refuses an option it does not know, and a rate out of range", async () => {
  using workspace = new Workspace();
  const unknown = startDemo(workspace, "--secnods", "3");
  expect(await waitForEnd(unknown)).toBe(2);
  expect(unknown.output()).toContain("--secnods");
  const absurd = startDemo(workspace, "--rate", "1e9");
  expect(await waitForEnd(absurd)).toBe(2);
  expect(absurd.output()).toContain('is "1e9", must be a whole number from 1 to 20000');
});
