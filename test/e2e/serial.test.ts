// A serial line as the link: a pair of pseudo-terminals whose wire loses bytes and flips bits.
import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { requireTools, toolPath } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { waitFor } from "../support/wait.ts";
import { PathRig } from "./path-rig.ts";

/** Lays a line; one byte in `lost` never arrives, one in `flipped` has another bit. */
async function layLine(site: Site, lost: number, flipped: number): Promise<{ near: string; far: string }> {
  const script = fileURLToPath(new URL("../support/serial-line.py", import.meta.url));
  const line = spawn(toolPath("python3"), [script, `${lost}`, `${flipped}`, "7"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  site.use({
    [Symbol.asyncDispose]: async () => {
      line.kill("SIGKILL");
    },
  });
  let said = "";
  line.stdout.on("data", (text) => {
    said += text;
  });
  const names = await waitFor("the serial line", 10_000, () => said.includes("\n") && said.trim().split(" "));
  return { near: names[0] ?? "", far: names[1] ?? "" };
}

requireTools(["mosquitto", "python3", "stty"])("a serial line", () => {
  test("carries everything in order while it loses and flips bytes, at both ends set to its speed", async () => {
    await using site = await Site.open();
    const { near, far } = await layLine(site, 4000, 4000);
    const rig = await PathRig.start(site, {
      send: [{ type: "pipe", device: near, baud: 115_200, rate_mbit_per_second: 4 }],
      recv: [{ type: "pipe", device: far, baud: 115_200 }],
      sendLink: { datagram_bytes: 300, repair_percent: 100, repair_symbols_min: 3 },
      recvLink: { patience_ms: 10_000 },
    });
    for (const end of [near, far]) {
      const settings = Bun.spawnSync([toolPath("stty"), "-F", end, "-a"]).stdout.toString();
      expect(settings).toContain("speed 115200 baud");
      expect(settings).toContain("-icanon");
      expect(settings).toContain("-echo ");
    }
    await rig.publish(2000);
    await rig.expectAll(60_000);
    const [path] = await rig.readPaths("damage found", ([only]) => (only?.refused.tag ?? 0) > 0);
    expect(Object.keys(path?.skippedBytes ?? {})).not.toEqual([]);
    expect(path?.missing).toBeGreaterThan(0);
  }, 90_000);

  test("at 9,600 bit/s carries messages and heartbeats side by side, evenly", async () => {
    await using site = await Site.open();
    const { near, far } = await layLine(site, 0, 0);
    const rig = await PathRig.start(site, {
      send: [{ type: "pipe", device: near, baud: 9600, rate_mbit_per_second: 0.0096 }],
      recv: [{ type: "pipe", device: far, baud: 9600 }],
      sendLink: { datagram_bytes: 200, repair_percent: 0 },
      recvLink: { patience_ms: 20_000 },
    });
    const startMs = performance.now();
    await rig.publish(20);
    await rig.expectAll(60_000);
    const seconds = (performance.now() - startMs) / 1000;
    const bytes = Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${rig.send.pid}/io`, "utf8"))?.[1]);
    expect(bytes).toBeGreaterThan(0);
    expect(seconds).toBeLessThan(45);
    const [path] = await rig.readPaths("the path", () => true);
    expect(path).toMatchObject({ refused: {}, skippedBytes: {}, missing: 0 });
    expect(rig.recv.logs.filter(({ msg }) => msg.startsWith("link degraded"))).toEqual([]);
  }, 90_000);
});
