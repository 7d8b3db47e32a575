// Fresh seeds through the simulator at every run: some hundred here, 2,000 in CI. A failing seed is printed with what
// happened last; `npm run sim -- --seed N --seconds 15` runs it again.
import { expect, test } from "bun:test";
import { join } from "node:path";

const SEEDS = process.env.TIDEGATE_TESTS_MUST_RUN === "1" ? 2000 : 200;
/** Of link time each, before the faults end and all must arrive. */
const SECONDS = 15;
const PROCESSES = 2;
const DEADLINE_MS = 1_200_000;

test(
  `${SEEDS} seeds keep every promise: real cores, fake clock, disk and network`,
  async () => {
    const each = SEEDS / PROCESSES;
    const from = Math.floor(Math.random() * 2 ** 31);
    const runs = Array.from({ length: PROCESSES }, async (_, index) => {
      const options = [
        "--seeds",
        String(each),
        "--seconds",
        String(SECONDS),
        "--from",
        String(from + index * each),
      ];
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts"), ...options], {
        stdout: "pipe",
        stderr: "pipe",
      });
      const output = await new Response(child.stdout).text();
      return { status: await child.exited, output };
    });
    for (const { status, output } of await Promise.all(runs)) {
      console.log(output.trimEnd().split("\n").at(-1));
      expect([status, output.includes("link-hours")]).toEqual([0, true]);
      expect(output).toContain("0 failed");
    }
  },
  DEADLINE_MS,
);
