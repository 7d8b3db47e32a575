// Runs a cloud's own client library as a process of its own, under Node, for which it is made. What it is to do goes in as
// JSON, what it saw comes out as JSON.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { SDK_FOLDER, toolPath } from "../support/requirements.ts";

/** `driver` is the name of a script in test/fakes/sdk, without ".mjs"; `caFile` is an authority that it trusts besides. */
export async function runSdk<Report>(driver: string, plan: object, caFile?: string): Promise<Report> {
  const child = spawn(toolPath("node"), [join(SDK_FOLDER, `${driver}.mjs`)], {
    cwd: SDK_FOLDER,
    // One of the libraries has no other way to be told whom to trust.
    env: caFile === undefined ? process.env : { ...process.env, NODE_EXTRA_CA_CERTS: caFile },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(plan));
  const status = await new Promise((resolve) => child.on("close", resolve));
  const lines = output.stdout.trim().split("\n");
  try {
    return JSON.parse(lines.at(-1) ?? "") as Report;
  } catch {
    throw new Error(
      `cannot read what ${driver} saw: it ended with ${status}\n${output.stdout}${output.stderr}`,
    );
  }
}
