// Starts the compiled programs where someone has laid out files that a Bun would obey. A program that reads
// them would run a stranger's code on the appliance.
import { describe, expect, test } from "bun:test";
import { type AgentName, runProgram } from "../support/agents.ts";
import { Workspace } from "../support/workspace.ts";

const AGENTS: AgentName[] = ["send", "recv"];

function createTrap(): Workspace {
  const workspace = new Workspace("trap");
  workspace.write("bunfig.toml", 'preload = ["./preload.js"]\n');
  workspace.write("preload.js", 'require("node:fs").writeFileSync("sprung", ""); console.log("sprung");\n');
  workspace.write(".env", "NODE_OPTIONS=--require=./preload.js\nBUN_OPTIONS=--preload=./preload.js\n");
  workspace.write("package.json", '{ "name": "tidegate", "version": "6.6.6" }\n');
  workspace.write("tsconfig.json", "{ broken");
  return workspace;
}

for (const agent of AGENTS) {
  describe(`tidegate-${agent}`, () => {
    test(`tidegate-${agent} obeys no file of the directory it is started in`, async () => {
      using workspace = createTrap();
      const clean = runProgram(agent, ["--version"]);
      const trapped = runProgram(agent, ["--version"], { directory: workspace.directory });
      expect(trapped).toEqual(clean);
      expect(await Bun.file(workspace.path("sprung")).exists()).toBe(false);
    });

    test(`tidegate-${agent} --version tells the version it was built from`, async () => {
      const { version } = await Bun.file(new URL("../../package.json", import.meta.url)).json();
      const run = runProgram(agent, ["--version"]);
      expect(run).toMatchObject({ status: 0, stderr: "" });
      expect(run.stdout).toContain(version);
    });
  });
}
