// Runs checks and test folders one after another and adds up what they counted. A run that ends without
// a count (a crash, an early exit) is one failure, so that silence never passes for success.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const TEST_TIMEOUT_MS = 120_000;
const SECOND_RUNS_MAX = 4;
const CLOSING_CHARACTERS = 400;

export class Gate {
  passed = 0;
  failed = 0;
  skipped = 0;
  #bun;
  #env;
  #again = [];
  #failures = [];
  #unsound = [];

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
    this.#failures.push(title);
  }

  /** All tests in a folder, in one process, printed as they come. A folder without tests is passed over. */
  async test(folder, { onlyFailures = false } = {}) {
    if (testFiles(folder).length === 0) return;
    announce(folder);
    const more = onlyFailures ? ["--only-failures"] : [];
    this.#book(folder, await this.#run(folder, { more, live: true }));
  }

  /**
   * All tests in a folder, a process a file, so that a file that hangs takes no other with it. What these tests
   * wait for happens in real brokers on a machine that others may load: a file that fails waits for `secondRuns`.
   */
  async testFiles(folder) {
    for (const file of testFiles(folder)) {
      const run = await this.#run(file);
      if (run.failed === 0) this.#book(file, run);
      else this.#again.push({ file, run });
    }
  }

  /**
   * Runs each file that failed once more, with nothing beside it. What passes then counts as passed and is named at
   * the end, so that nobody takes it for sound. Where many files fail it is no accident, and they stay failed.
   */
  async secondRuns() {
    for (const { file, run } of this.#again) {
      if (this.#again.length > SECOND_RUNS_MAX) {
        this.#book(file, run);
        continue;
      }
      const second = await this.#run(file, { title: `${file}, once more` });
      this.#book(file, second);
      if (second.failed === 0) this.#unsound.push(`${file}: ${run.failures.join("; ")}`);
    }
    this.#again = [];
  }

  /** Runs and counts a file or folder, shown live or at its end. A run without a count, or with a status that its counts do not explain, is one failure. */
  async #run(path, { title = path, more = [], live = false } = {}) {
    const args = ["test", `./${path}`, `--timeout=${TEST_TIMEOUT_MS}`, ...more];
    const { status, output } = await runToEnd(this.#bun, args, this.#env, live);
    if (!live) {
      announce(title);
      process.stdout.write(output);
    }
    const counted = readCounts(output);
    const failures = [...output.matchAll(/^\(fail\) (.*)$/gm)].map((found) => found[1]);
    const run = {
      passed: counted.pass,
      failed: counted.fail,
      skipped: counted.skip + counted.todo,
      failures,
      output,
    };
    if (counted.finished && (status === 0 || counted.fail > 0)) return run;
    const end = `ended with status ${status}${counted.finished ? "" : " before its last test"}`;
    return { ...run, failed: run.failed + 1, failures: [...failures, end] };
  }

  #book(path, run) {
    this.passed += run.passed;
    this.failed += run.failed;
    this.skipped += run.skipped;
    if (run.failed > 0) this.#failures.push(`${path}: ${run.failures.join("; ")}`);
  }

  /** Prints what failed, what passed only when run once more, and the one line that says it all; returns the exit status. */
  report() {
    for (const failure of this.#failures) announce(`failed: ${failure}`);
    for (const unsound of this.#unsound) announce(`passed only when run once more, by itself: ${unsound}`);
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

function testFiles(folder) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((name) => name.endsWith(".test.ts"))
    .sort();
}

function runToEnd(command, args, env, live) {
  return new Promise((resolve) => {
    let output = "";
    const child = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        output += text;
        if (live) process.stdout.write(text);
      });
    }
    child.on("error", (error) => resolve({ status: error.message, output }));
    child.on("close", (code, signal) => resolve({ status: code ?? signal, output }));
  });
}

// Bun closes with " 12 pass", " 1 skip", " 2 fail" and "Ran 15 tests across 3 files."; its JUnit report
// leaves out files that do not load, so the printed counts are the ones to trust.
function readCounts(output) {
  const end = output.lastIndexOf("\nRan ");
  const closing = end === -1 ? "" : output.slice(Math.max(0, end - CLOSING_CHARACTERS), end);
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
