// The demonstration behind `npm start`. Ends with status 0 only when the account agrees.
import { findDisagreements, printAccount, type Snapshot } from "./account.ts";
import { Demonstration } from "./demonstration.ts";
import { type DemoOptions, readOptions, USAGE } from "./options.ts";
import { RateMeter } from "./rate.ts";
import { drawPlainLine, drawScreen, type View } from "./screen.ts";
import { Terminal } from "./terminal.ts";

const LOOK_MS = 250;
const PLAIN_LINE_MS = 1_000;
const SETTLE_MS = 10_000;

const terminal = new Terminal(process.stdout);
const demonstration = new Demonstration();
const meter = new RateMeter();
let interrupted = false;
let lastLineAtMs = 0;

async function run(options: DemoOptions): Promise<number> {
  if (!terminal.isScreen) terminal.print("Starting two brokers and both agents …");
  await demonstration.start();
  demonstration.publish(options.messagesPerSecond);
  const endsAtMs =
    options.seconds === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.seconds * 1_000;
  await watch("running", () => interrupted || performance.now() >= endsAtMs);
  demonstration.stopPublishing();
  interrupted = false;
  const settledAtMs = performance.now() + SETTLE_MS;
  const snapshot = await watch(
    "settling",
    (each) =>
      (demonstration.isAcknowledged && findDisagreements(each).length === 0) ||
      performance.now() >= settledAtMs ||
      interrupted,
  );
  terminal.leave();
  for (const line of printAccount(snapshot)) terminal.print(line);
  const agrees = demonstration.isAcknowledged && findDisagreements(snapshot).length === 0;
  if (!agrees) terminal.print(demonstration.explain());
  return agrees ? 0 : 1;
}

/** Looks and shows until it is done or an agent has ended; returns the last look. */
async function watch(phase: View["phase"], isDone: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
  for (;;) {
    const snapshot = await demonstration.look();
    meter.add(performance.now(), snapshot);
    showView({
      ...snapshot,
      ...meter.read(),
      title: titleOf(snapshot),
      latest: demonstration.listLatest(),
      phase,
    });
    const ended = demonstration.findEnded();
    if (ended !== undefined) throw new Error(`tidegate-${ended} has ended`);
    if (isDone(snapshot)) return snapshot;
    await Bun.sleep(LOOK_MS);
  }
}

function showView(view: View): void {
  if (terminal.isScreen) {
    terminal.paint(drawScreen(view, terminal.columns, terminal.rows));
  } else if (performance.now() - lastLineAtMs >= PLAIN_LINE_MS) {
    lastLineAtMs = performance.now();
    terminal.print(drawPlainLine(view));
  }
}

function titleOf(snapshot: Snapshot): string {
  return `Tidegate ${snapshot.send.version ?? ""}  ·  link ${snapshot.send.linkId ?? ""}`;
}

async function finish(status: number): Promise<never> {
  terminal.leave();
  await demonstration.stop();
  process.exit(status);
}

const options = readOptions(process.argv.slice(2));
if (typeof options === "string") {
  demonstration.abandon();
  if (options !== "help") process.stderr.write(`${options}\n`);
  (options === "help" ? process.stdout : process.stderr).write(`${USAGE}\n`);
  process.exit(options === "help" ? 0 : 2);
}

process.on("exit", () => {
  terminal.leave();
  demonstration.abandon();
});
process.on("SIGINT", () => {
  interrupted = true;
});
for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => void finish(1));

try {
  await finish(await run(options));
} catch (error) {
  terminal.leave();
  process.stderr.write(
    `The demonstration failed: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.stderr.write(`${demonstration.explain()}\n`);
  await finish(1);
}
