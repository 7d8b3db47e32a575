// The recipe of docs/targets.md for those who get compressed messages and parts, run as it stands there by Python on what the
// agent really sends: with MQTT 5 and 3.1.1, in any order and with doubles.
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Collector, Publisher, type Received } from "../../support/mqtt-clients.ts";
import { requireTools, toolPath } from "../../support/requirements.ts";
import { Site } from "../../support/site.ts";
import { waitFor } from "../../support/wait.ts";

const PAGE = fileURLToPath(new URL("../../../docs/targets.md", import.meta.url));
const FEED = `
import base64, json, sys
for line in sys.stdin:
    given = json.loads(line)
    found = whole(given["topic"], base64.b64decode(given["payload"]), given["properties"])
    if found is not None:
        print(json.dumps([found[0], base64.b64encode(found[1]).decode()]))
`;

function readRecipe(): string {
  const [, recipe] = /```python\n([\s\S]*?)```/.exec(readFileSync(PAGE, "utf8")) ?? [];
  if (recipe === undefined) throw new Error("cannot find the recipe in docs/targets.md");
  return recipe;
}

/** What the recipe makes of these, in order. */
function assemble(messages: readonly Received[]): [topic: string, payload: Buffer][] {
  const lines = messages.map(({ topic, payload, properties }) =>
    JSON.stringify({
      topic,
      payload: payload.toString("base64"),
      properties: { ...properties.userProperties },
    }),
  );
  const run = spawnSync(toolPath("python3"), ["-c", readRecipe() + FEED], {
    input: `${lines.join("\n")}\n`,
    encoding: "utf8",
  });
  expect(run.stderr).toBe("");
  return run.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as [string, string])
    .map(([topic, payload]) => [topic, Buffer.from(payload, "base64")]);
}

requireTools(["mosquitto", "python3"])("what was too large", () => {
  test("is put together by the recipe of the manual, whatever the version, the order and the doubles", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const business = await site.startBroker();
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["#"] }]);
    site.writeRecv();
    const names: string[] = [];
    for (const version of ["5", "3.1.1"])
      for (const oversize of ["compress", "split"]) {
        const name = `${oversize}-${version}`;
        names.push(name);
        site.writeTarget(name, {
          url: `mqtt://127.0.0.1:${business.port}`,
          mqtt_version: version,
          topic_prefix: `${name}/`,
          oversize,
          limits: { message_bytes_max: 2000 },
          // Parts and what is around them stay in order over several connections, too.
          connections: 3,
        });
      }
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    await site.startBoth();
    const payloads = ["before", "0123456789".repeat(3000), "between", "größer ".repeat(1000), "after"];
    for (const payload of payloads) await near.publish("plant/x", payload, { qos: 1 });
    for (const name of names) {
      const below = () => far.below(name);
      await waitFor("the last one", 30_000, () => below().at(-1)?.payload.toString() === "after");
      const wanted = payloads.map((payload) => [`${name}/plant/x`, Buffer.from(payload)]);
      expect(assemble(below())).toEqual(wanted as [string, Buffer][]);
      // Each twice, the last first: nothing comes out changed, and nothing comes out in pieces.
      const mixed = below()
        .flatMap((message) => [message, message])
        .toReversed();
      const seen = new Set(assemble(mixed).map(([, payload]) => payload.toString()));
      expect([...seen].toSorted()).toEqual(payloads.toSorted());
    }
  }, 60_000);
});
