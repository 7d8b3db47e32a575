// Brokers that cannot be reached, do not prove who they are, or do not want us; a link with another key or name. Each gives
// the operator one line that says what it is and what to do, and the line does not come again with every attempt.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { Aedes } from "aedes";
import { type Agent, runProgram } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus, SendStatus } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

type Fault = { readonly name: string; readonly settings: TomlTable; readonly says: RegExp };

const NAMES = [
  "wrong-ca",
  "public-ca",
  "expired",
  "not-yet-valid",
  "wrong-name",
  "self-signed",
  "expired-websocket",
  "no-certificate",
  "strange-certificate",
  "expired-certificate",
  "wrong-password",
  "no-password",
  "port-closed",
  "not-tls",
  "not-mqtt",
] as const;

/** Counts connections and closes each at once: by it a test knows that others have tried again, too. */
async function startSlammedDoor(site: Site): Promise<{ port: number; visits: () => number }> {
  let visits = 0;
  const server = createServer((socket) => {
    visits++;
    socket.on("error", () => {});
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site.use({ [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) });
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, visits: () => visits };
}

async function listFaults(
  site: Site,
  slammedPort: number,
): Promise<Record<(typeof NAMES)[number], Omit<Fault, "name">>> {
  const made = await createCertificateSet(site.workspace.directory);
  const { caFile, client, strangerClient, expiredClient } = made;
  const servers = [
    made.server,
    made.expiredServer,
    made.futureServer,
    made.otherNameServer,
    made.selfSignedServer,
  ];
  const broker = await site.startBroker({
    listeners: [
      ...servers.map((server) => ({ tls: { server, caFile } })),
      { tls: { server: made.server, caFile, requireCertificate: true } },
      { users: { somebody: "the right one" } },
      { tls: { server: made.expiredServer, caFile }, websockets: true },
    ],
  });
  site.workspace.write("wrong", "a wrong one");
  const url = (scheme: string, listener: number) => `${scheme}://localhost:${broker.ports[listener]}`;
  const trust = { ca_file: caFile };
  const own = ({ certFile, keyFile }: typeof client) => ({
    ...trust,
    cert_file: certFile,
    key_file: keyFile,
  });
  return {
    "wrong-ca": {
      settings: { url: url("mqtts", 0), tls: { ca_file: made.strangerCaFile } },
      says: /no authority in tls\.ca_file signed the broker's certificate; get the right CA file/,
    },
    "public-ca": {
      settings: { url: url("mqtts", 0) },
      says: /no public authority signed .*; set tls\.ca_file/,
    },
    expired: {
      settings: { url: url("mqtts", 1), tls: trust },
      says: /certificate.* has expired; have it renewed/,
    },
    "not-yet-valid": { settings: { url: url("mqtts", 2), tls: trust }, says: /not yet valid; .*clock/ },
    "wrong-name": {
      settings: { url: url("mqtts", 3), tls: trust },
      says: /certificate is for other\.example, the profile calls it localhost; set tls\.server_name/,
    },
    "self-signed": { settings: { url: url("mqtts", 4), tls: trust }, says: /signed by itself/ },
    "expired-websocket": {
      settings: { url: url("wss", 7), tls: trust },
      says: /certificate.* has expired; have it renewed/,
    },
    "no-certificate": {
      settings: { url: url("mqtts", 5), tls: trust },
      says: /wants a client certificate; set tls\.cert_file/,
    },
    "strange-certificate": {
      settings: { url: url("mqtts", 5), tls: own(strangerClient) },
      says: /does not accept our client certificate/,
    },
    "expired-certificate": {
      settings: { url: url("mqtts", 5), tls: own(expiredClient) },
      says: /does not accept our client certificate .*expired/,
    },
    "wrong-password": {
      settings: { url: url("mqtt", 6), username: "somebody", password_file: "wrong" },
      says: /refuses our login .*; check username and password/,
    },
    "no-password": { settings: { url: url("mqtt", 6) }, says: /refuses our login/ },
    "port-closed": {
      settings: { url: "mqtt://127.0.0.1:1" },
      says: /nothing listens at 127\.0\.0\.1:1; check the port/,
    },
    "not-tls": {
      settings: { url: url("mqtts", 6), tls: trust },
      says: /does not answer with TLS .*; check that the port/,
    },
    "not-mqtt": {
      settings: { url: `mqtt://127.0.0.1:${slammedPort}` },
      says: /closed the connection before it answered/,
    },
  };
}

requireTools(["mosquitto", "mosquitto_passwd"])("a fault of a connection", () => {
  for (const kind of ["source", "target"] as const) {
    describe(`of a ${kind}`, () => {
      let site: Site;
      let agent: Agent;
      let faults: Awaited<ReturnType<typeof listFaults>>;

      beforeAll(async () => {
        site = await Site.open();
        const door = await startSlammedDoor(site);
        faults = await listFaults(site, door.port);
        const rest = { mqtt_version: "5", reconnect_max_ms: 100 };
        if (kind === "target") {
          site.writeRecv();
          for (const name of NAMES) site.writeTarget(name, { ...faults[name].settings, ...rest });
          site.workspace.write("targets.d/wrong", "a wrong one");
        } else {
          site.writeSend(NAMES.map((name) => ({ name, topics: ["x"], ...faults[name].settings, ...rest })));
        }
        agent = kind === "target" ? site.startRecv() : site.startSend();
        await waitFor(
          "many attempts",
          20_000,
          () => door.visits() >= 15,
          () => agent.tail(),
        );
      }, 60_000);

      afterAll(() => site[Symbol.asyncDispose]());

      test.each(NAMES)("is told once, with what to do: %s", async (name) => {
        const { says } = faults[name];
        const fits = (line: { readonly [key: string]: unknown }) =>
          line[kind] === name && line.fault !== undefined;
        const line = await agent.waitForLog(`${kind} ${name}`, fits);
        expect(line.msg).toMatch(says);
        expect(line.msg).toStartWith(`cannot connect ${kind} ${name}: `);
        expect(agent.logs.filter(fits)).toHaveLength(1);
        const status = await agent.readStatus<RecvStatus | SendStatus>();
        const shown = ("targets" in status ? status.targets : status.sources).find(
          (each) => each.name === name,
        );
        expect(shown).toMatchObject({ state: "down", problem: line.msg });
      });
    });
  }

  test("of a source whose topic filter is refused names the filter", async () => {
    await using site = await Site.open();
    // Mosquitto grants every subscription and delivers nothing; this broker says no.
    const aedes = await Aedes.createBroker({
      authorizeSubscribe: (_client, subscription, done) =>
        done(null, subscription.topic === "secret/#" ? null : subscription),
    });
    const server = createServer((socket) => aedes.handle(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    site.use({
      [Symbol.asyncDispose]: () => new Promise((resolve) => aedes.close(() => server.close(() => resolve()))),
    });
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    const topics = ["open/#", "secret/#"];
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${port}`, mqtt_version: "3.1.1", topics }]);
    const send = site.startSend();
    const line = await send.waitForLog("the refusal", ({ level }) => level === "error");
    expect(line).toMatchObject({ source: "line", refused: ["secret/#"] });
    expect(line.msg).toBe(
      "source line: the broker refuses the topic filters secret/#; allow them in the broker's access list",
    );
    await send.kill();
  }, 30_000);
});

describe("a fault of the link", () => {
  test.each([
    ["key", { key_file: "other.key" }, /sealed with a key that is not ours: compare the key id/],
    ["link", { id: "plant-8" }, /for another link\.id: compare link\.id/],
  ] as const)(
    "is told once for many datagrams: another %s",
    async (reason, link, says) => {
      await using site = await Site.open();
      runProgram("recv", ["keygen", "--out", site.workspace.path("other.key")]);
      site.writeSend([{ name: "line", url: "mqtt://127.0.0.1:1", topics: ["x"] }], {
        link: { heartbeat_ms: 100 },
      });
      site.writeRecv({ link });
      site.writeTarget("hq", { url: "mqtt://127.0.0.1:1" });
      const recv = site.startRecv();
      site.startSend();
      const status = await recv.waitForStatus<RecvStatus>(
        "ten refusals",
        (each) => (each.link.refused[reason] ?? 0) >= 10,
      );
      expect(Object.keys(status.link.refused)).toEqual([reason]);
      expect(status.link.state).toBe("waiting");
      const told = recv.logs.filter((line) => line.reason === reason);
      expect(told.map(({ msg }) => msg)).toEqual([expect.stringMatching(says)]);
    },
    30_000,
  );
});
