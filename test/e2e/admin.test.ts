// What the agents show of themselves: health and readiness, Prometheus metrics, the status as JSON and for a person; who may
// read it, and that nobody can change anything through it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Agent, type AgentName, runProgram } from "../support/agents.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { parseMetrics } from "../support/prometheus.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, type SendStatus, unaccounted } from "../support/status.ts";

const TOKEN = "0123456789-abcdef-token";
const FILTER = { filter: [{ name: "no-debug", drop: ["plant/debug/#"] }] };

requireTools(["mosquitto"])("the admin pages", () => {
  let site: Site;
  let plant: Mosquitto;
  let agents: Record<AgentName, Agent>;
  let ports: Record<AgentName, number>;

  /** Fixed for these agents, so that the `status` command finds them. */
  const admin = (agent: AgentName, more = {}) => ({
    admin: { address: `127.0.0.1:${ports[agent]}`, ...more },
  });
  const source = () => [{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }];

  beforeAll(async () => {
    site = await Site.open();
    ports = { send: await findFreeTcpPort(), recv: await findFreeTcpPort() };
    plant = await site.startBroker();
    const business = await site.startBroker();
    site.writeSend(source(), { ...admin("send"), ...FILTER, limits: { message_bytes_max: 1000 } });
    site.writeRecv(admin("recv"));
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}`, topics: ["plant/a/#", "plant/b"] });
    site.writeTarget("dead", { url: "mqtt://127.0.0.1:1" });
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    agents = { recv: await waitUntilReady(site.startRecv()), send: await waitUntilReady(site.startSend()) };
    for (const topic of ["plant/a/1", "plant/debug/x", "plant/c", "plant/b"])
      await near.publish(topic, "x", { qos: 1 });
    await near.publish("plant/big", Buffer.alloc(1001), { qos: 1 });
    await far.waitForCount(2);
    await agents.recv.waitForStatus<RecvStatus>("settled", ({ targets }) =>
      targets.some(({ name, ledger }) => name === "hq" && ledger.accepted === 3 && ledger.held === 0),
    );
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  const fetchPage = (agent: AgentName, page: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${ports[agent]}${page}`, init);

  test("tell every message as exactly one of forwarded, held, filtered or lost", async () => {
    const send = await agents.send.readStatus<SendStatus>();
    expect(send.ledger).toEqual({
      accepted: 5,
      forwarded: 3,
      held: 0,
      filtered: { "no-debug": 1 },
      lost: { oversize: 1 },
    });
    expect(unaccounted(send.ledger)).toBe(0);
    expect(send.sources[0]).toMatchObject({ name: "line", state: "connected", accepted: 5, kept: 3 });
    const recv = await agents.recv.readStatus<RecvStatus>();
    expect(recv.ledger).toMatchObject({ accepted: 3, lost: {}, skipped: {}, awaited: 0 });
    const ledgers = Object.fromEntries(recv.targets.map(({ name, ledger }) => [name, ledger]));
    expect(ledgers.hq).toEqual({ accepted: 3, forwarded: 2, held: 0, filtered: { topics: 1 }, lost: {} });
    expect(ledgers.dead).toEqual({ accepted: 3, forwarded: 0, held: 3, filtered: {}, lost: {} });
  });

  test("show on the business side how the plant's side is", async () => {
    const status = await agents.recv.waitForStatus<RecvStatus & { sender: { sections: unknown[] } }>(
      "a heartbeat with all five",
      ({ sender }) => JSON.stringify(sender?.sections ?? []).includes('"accepted":5'),
    );
    expect(status.sender.sections).toContainEqual(
      expect.objectContaining({ type: "source", name: "line", state: "connected" }),
    );
    expect(status.ledger.comparison).toEqual({ forwarded: 3, givenUp: 0, difference: 0 });
  });

  test("are healthy and ready", async () => {
    for (const agent of ["send", "recv"] as const) {
      expect((await fetchPage(agent, "/healthz")).status).toBe(200);
      const ready = await fetchPage(agent, "/readyz");
      expect({ status: ready.status, body: await ready.json() }).toEqual({
        status: 200,
        body: { ready: true, missing: [] },
      });
    }
  });

  test("give metrics that Prometheus can read and that say the same as the status", async () => {
    const send = parseMetrics(await (await fetchPage("send", "/metrics")).text());
    expect(send.problems).toEqual([]);
    expect(send.value("tidegate_send_accepted_total", { source: "line" })).toBe(5);
    expect(send.value("tidegate_send_forwarded_total")).toBe(3);
    expect(send.value("tidegate_send_filtered_total", { rule: "no-debug" })).toBe(1);
    expect(send.value("tidegate_send_lost_total", { reason: "oversize" })).toBe(1);
    const page = await fetchPage("recv", "/metrics");
    expect(page.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const recv = parseMetrics(await page.text());
    expect(recv.problems).toEqual([]);
    expect(recv.value("tidegate_recv_accepted_total")).toBe(3);
    expect(recv.value("tidegate_recv_target_forwarded_total", { target: "hq" })).toBe(2);
    expect(recv.value("tidegate_recv_target_held_messages", { target: "dead" })).toBe(3);
    expect(recv.value("tidegate_recv_target_connected", { target: "dead" })).toBe(0);
    expect(recv.value("tidegate_recv_ledger_difference_messages")).toBe(0);
    expect(recv.value("tidegate_recv_link_state", { state: "up" })).toBe(1);
    for (const [name, type] of [...send.types, ...recv.types]) {
      if (name.startsWith("tidegate_") && name.endsWith("_total"))
        expect([name, type]).toEqual([name, "counter"]);
    }
  });

  test("refuse every method that could change something, and pages that are not there", async () => {
    for (const agent of ["send", "recv"] as const) {
      for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        const response = await fetchPage(agent, "/api/status", { method });
        expect([method, response.status]).toEqual([method, 405]);
        expect(response.headers.get("allow")).toBe("GET, HEAD");
      }
      for (const page of ["/api", "/api/status/", "/..%2f..%2fetc/passwd", "/metrics/x"])
        expect([page, (await fetchPage(agent, page)).status]).toEqual([page, 404]);
      const huge = await fetchPage(agent, "/healthz", { headers: { "x-huge": "x".repeat(100_000) } }).catch(
        () => undefined,
      );
      expect(huge?.status ?? 431).toBeGreaterThanOrEqual(400);
      expect((await fetchPage(agent, "/healthz")).status).toBe(200);
    }
  });

  test("are printed for a person, and as JSON, by the status command", async () => {
    for (const agent of ["send", "recv"] as const) {
      const file = agent === "send" ? site.sendFile : site.recvFile;
      const person = runProgram(agent, ["status", "--config", file]);
      expect(person).toMatchObject({ status: 0, stderr: "" });
      for (const word of agent === "send"
        ? ["line", "connected", "no-debug 1", "oversize 1"]
        : ["hq", "dead", "up", "nothing listens", "forwarded 3, given up 0: no difference"])
        expect(person.stdout).toContain(word);
      const json = runProgram(agent, ["status", "--json", "--config", file]);
      expect(json).toMatchObject({ status: 0, stderr: "" });
      expect(Object.keys(JSON.parse(json.stdout))).toEqual(Object.keys(await agents[agent].readStatus()));
    }
  });

  test("want the token when there is one, but for the two probes", async () => {
    site.workspace.write("token", TOKEN);
    const other = await Site.open();
    await using _ = other;
    other.workspace.write("token", TOKEN);
    const port = await findFreeTcpPort();
    other.writeSend(source(), { admin: { address: `127.0.0.1:${port}`, token_file: "token" } });
    const agent = other.startSend();
    const url = await agent.adminUrl();
    for (const page of ["/metrics", "/api/status"]) {
      for (const authorization of ["", "Bearer ", `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
        const refused = await fetch(url + page, { headers: { authorization } });
        expect([page, authorization, refused.status]).toEqual([page, authorization, 401]);
        expect(await refused.text()).not.toContain("line");
      }
      const granted = await fetch(url + page, { headers: { authorization: `Bearer ${TOKEN}` } });
      expect([page, granted.status]).toEqual([page, 200]);
    }
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect([200, 503]).toContain((await fetch(`${url}/readyz`)).status);
    expect(runProgram("send", ["status", "--config", other.sendFile])).toMatchObject({
      status: 0,
      stderr: "",
    });
  });
});

requireTools(["mosquitto"])("readiness", () => {
  test("of the send agent comes with its subscription, and goes with its broker", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    await plant.stop();
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    const send = site.startSend();
    const readyz = `${await send.adminUrl()}/readyz`;
    await send.waitForLog("the refused connection", ({ level }) => level === "warn");
    const before = await fetch(readyz);
    expect(before.status).toBe(503);
    expect(((await before.json()) as { missing: string[] }).missing).toEqual([
      expect.stringMatching(/^source line is down: .*nothing listens/),
    ]);
    await plant.start();
    await waitUntilReady(send);
    await plant.stop();
    await send.waitForStatus<SendStatus>("the source down", ({ sources }) => sources[0]?.state === "down");
    expect((await fetch(readyz)).status).toBe(503);
  }, 30_000);
});

describe("the status command", () => {
  test("says in one line that nobody answers, or that there is no admin table, with status 1", async () => {
    await using site = await Site.open();
    const port = await findFreeTcpPort();
    site.writeRecv({ admin: { address: `127.0.0.1:${port}` } });
    site.writeTarget("hq", { url: "mqtt://127.0.0.1:1" });
    const silent = runProgram("recv", ["status", "--config", site.recvFile]);
    expect(silent).toMatchObject({ status: 1, stdout: "" });
    expect(silent.stderr).toBe(
      `cannot reach the agent at 127.0.0.1:${port}: is it running, with this configuration?\n`,
    );
    site.writeRecv({ admin: undefined });
    const without = runProgram("recv", ["status", "--config", site.recvFile]);
    expect(without).toMatchObject({ status: 1, stdout: "" });
    expect(without.stderr.trimEnd().split("\n")).toEqual([expect.stringContaining("has no [admin] table")]);
  });
});

describe("an admin address that other machines can reach", () => {
  test("is refused unless it is asked for, with a token", async () => {
    await using site = await Site.open();
    site.workspace.write("token", TOKEN);
    const check = (admin: Record<string, string | boolean>) => {
      site.writeSend([{ name: "line", url: "mqtt://127.0.0.1:1", topics: ["x"] }], { admin });
      return runProgram("send", ["check", "--config", site.sendFile]);
    };
    const address = "0.0.0.0:9464";
    for (const admin of [{ address }, { address, allow_remote: true }, { address, token_file: "token" }]) {
      const run = check(admin);
      expect(run.status).toBe(78);
      expect(run.stderr).toMatch(
        /admin\.address: is 0\.0\.0\.0:9464, which other machines can reach; must be/,
      );
    }
    expect(check({ address, allow_remote: true, token_file: "token" })).toMatchObject({
      status: 0,
      stderr: "",
    });
  });
});
