// Runs checks and test folders one after another and adds up what they counted. A run that ends without
// a count (a crash, an early exit) is one failure, so that silence never passes for success.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const TEST_TIMEOUT_MS = 120_000;
const TAIL_CHARACTERS = 4_000;

export class Gate {
  passed = 0;
  failed = 0;
  skipped = 0;
  #bun;
  #env;

  constructor(bun, env) {
    this.#bun = bun;
    this.#env = env;
  }

  /** A check that has no tests of its own (format, types): counted only when it fails. */
  check(title, command, ...args) {
    announce(title);
    const run = spawnSync(join(ROOT, "node_modules/.bin", command), args, {
      cwd: ROOT,
      env: this.#env,
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (run.status === 0) return;
    this.failed += 1;
    announce(`${title}: failed`);
  }

  /**
   * All tests in a folder, printed as they come, or, where others run beside them, `together` at their end. A folder
   * without tests is passed over.
   */
  async test(folder, { onlyFailures = false, together = false } = {}) {
    if (!holdsTests(join(ROOT, folder))) return;
    if (!together) announce(folder);
    const args = ["test", `./${folder}`, `--timeout=${TEST_TIMEOUT_MS}`];
    if (onlyFailures) args.push("--only-failures");
    const { status, tail, held } = await runAndWatch(this.#bun, args, this.#env, together);
    if (together) {
      announce(folder);
      process.stderr.write(held);
    }
    const counted = readCounts(tail);
    this.passed += counted.pass;
    this.skipped += counted.skip + counted.todo;
    this.failed += counted.fail;
    if (counted.finished && (status === 0 || counted.fail > 0)) return;
    this.failed += 1;
    announce(`${folder}: ended with status ${status}${counted.finished ? "" : " before its last test"}`);
  }

  /** Prints the one line that says it all, and returns the exit status. */
  report() {
    process.stdout.write(`\n${this.passed} passed, ${this.failed} failed, ${this.skipped} skipped\n`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}

/** What `bun run ok` and `npm test` both begin with: format, lint, types, tidy, unit, simulation. */
export async function checkSources(gate) {
  gate.check("format and lint", "biome", "ci", "--colors=off", ".");
  gate.check("types", "tsc", "-p", ".");
  for (const folder of ["test/tidy", "test/unit", "test/sim"])
    await gate.test(folder, { onlyFailures: true });
}

function announce(line) {
  process.stdout.write(`\n── ${line}\n`);
}

function holdsTests(folder) {
  if (!existsSync(folder)) return false;
  return readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith(".test.ts"));
}

function runAndWatch(command, args, env, holds) {
  return new Promise((resolve) => {
    let tail = "";
    let held = "";
    const stdio = ["ignore", holds ? "pipe" : "inherit", "pipe"];
    const child = spawn(command, args, { cwd: ROOT, env, stdio });
    child.stdout?.setEncoding("utf8");
    child.stdout?.on("data", (text) => {
      held += text;
    });
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text) => {
      if (holds) held += text;
      else process.stderr.write(text);
      tail = (tail + text).slice(-TAIL_CHARACTERS);
    });
    child.on("error", (error) => resolve({ status: error.message, tail, held }));
    child.on("close", (code, signal) => resolve({ status: code ?? signal, tail, held }));
  });
}

// Bun closes with " 12 pass", " 1 skip", " 2 fail" and "Ran 15 tests across 3 files."; its JUnit report
// leaves out files that do not load, so the printed counts are the ones to trust.
function readCounts(tail) {
  const end = tail.lastIndexOf("\nRan ");
  const closing = end === -1 ? "" : tail.slice(0, end);
  const count = (word) =>
    Number(closing.match(new RegExp(`^ (\\d+) ${word}$(?![\\s\\S]*^ \\d+ ${word}$)`, "m"))?.[1] ?? 0);
  return {
    finished: end !== -1,
    pass: count("pass"),
    fail: count("fail"),
    skip: count("skip"),
    todo: count("todo"),
  };
}
