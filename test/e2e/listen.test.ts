// The agent as the plant's own broker: certificates and revocation, users, access rules, restarts in the middle of QoS 2,
// wills, hostile clients. The publishers are real clients, the agent is the compiled one.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { type Agent, findProgram, runProgram } from "../support/agents.ts";
import { type CertificateFiles, type CertificateSet, createCertificateSet } from "../support/certificates.ts";
import { Collector } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type SendStatus, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

type ListenStatus = SendStatus & {
  readonly sources: readonly {
    readonly listen?: {
      readonly clients: number;
      readonly sessions: number;
      readonly refused: Record<string, number>;
      readonly listeners: readonly { readonly connections: number }[];
    };
  }[];
};

const refused = (status: ListenStatus) => status.sources[0]?.listen?.refused ?? {};

/** A site whose only source listens; the far side collects all. */
async function openSite(source: TomlTable, over: TomlTable = {}) {
  const site = await Site.open();
  const business = await site.startBroker();
  site.writeSend([{ name: "floor", type: "listen", ...source }], over);
  site.writeRecv();
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port }));
  return { site, far };
}

function setPassword(file: string, user: string, password: string, more: readonly string[] = []): void {
  const run = Bun.spawnSync([findProgram("send"), "passwd", "--file", file, "--user", user, ...more], {
    stdin: Buffer.from(`${password}\n`),
  });
  if (run.exitCode !== 0) throw new Error(run.stderr.toString());
}

/** Why a client could not connect, or "let in". */
async function attempt(url: string, options: IClientOptions): Promise<string> {
  try {
    const client = await connectAsync(url, { ...options, reconnectPeriod: 0, connectTimeout: 5000 }, false);
    await client.endAsync();
    return "let in";
  } catch (error) {
    const { code, message } = error as { code?: number; message: string };
    return typeof code === "number" ? `code ${code.toString(16)}` : `cut off: ${message}`;
  }
}

requireTools(["mosquitto"])("certificates and users", () => {
  let site: Site;
  let far: Collector;
  let send: Agent;
  let set: CertificateSet;
  let revoked: CertificateFiles;
  let ports: number[];
  let users: string;

  beforeAll(async () => {
    ports = await Promise.all([1, 2, 3].map(() => findFreeTcpPort()));
    const [required = 0, optional = 0, plain = 0] = ports;
    ({ site, far } = await openSite({}));
    set = await createCertificateSet(site.workspace.directory);
    revoked = await set.authority.issue("revoked", { usage: "client" });
    await set.authority.revoke(site.workspace.path("crl.pem"), []);
    users = site.workspace.path("users");
    setPassword(users, "anna", "geheim");
    setPassword(users, "ben", "anders", ["--algorithm", "bcrypt"]);
    const tls = {
      cert_file: set.server.certFile,
      key_file: set.server.keyFile,
      client_ca_file: set.caFile,
      crl_file: site.workspace.path("crl.pem"),
      user_from: "common-name",
    };
    site.writeSend([
      {
        name: "floor",
        type: "listen",
        users_file: "users",
        ban_after_failures: 0,
        listener: [
          { address: `127.0.0.1:${required}`, tls: { ...tls, client_certificate: "required" } },
          {
            address: `127.0.0.1:${optional}`,
            transport: "websocket",
            tls: { ...tls, client_certificate: "optional" },
          },
          { address: `127.0.0.1:${plain}` },
        ],
        access: [{ publish: ["by/%u/#"] }, { users: "ben", publish: ["extra/#"] }],
      },
    ]);
    const recv = await waitUntilReady(site.startRecv());
    send = await waitUntilReady(site.startSend());
    await recv.waitForLog("target", ({ msg }) => msg === "target hq is connected");
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  const withCertificate = (files?: CertificateFiles): IClientOptions => ({
    ca: readFileSync(set.caFile),
    ...(files === undefined ? {} : { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) }),
  });
  const required = () => `mqtts://localhost:${ports[0]}`;
  const optional = () => `wss://localhost:${ports[1]}/mqtt`;
  const plain = () => `mqtt://localhost:${ports[2]}`;

  test("a required certificate must be there, from our authority, and live", async () => {
    expect(await attempt(required(), withCertificate(set.client))).toBe("let in");
    expect(await attempt(required(), withCertificate())).toContain("cut off");
    expect(await attempt(required(), withCertificate(set.strangerClient))).toContain("cut off");
    expect(await attempt(required(), withCertificate(set.expiredClient))).toContain("cut off");
  });

  test("a certificate's name is the user, for access rules, too", async () => {
    const client = await connectAsync(required(), withCertificate(set.client));
    await client.publishAsync("by/client/a", "mine", { qos: 1 });
    await client.endAsync();
    await far.waitForCount(1, "by/client", () => send.tail());
  });

  test("an optional certificate may be missing, and then a password is asked for; a bad one is refused", async () => {
    const anna = { username: "anna", password: "geheim" };
    expect(await attempt(optional(), withCertificate(set.client))).toBe("let in");
    expect(await attempt(optional(), { ...withCertificate(), ...anna })).toBe("let in");
    expect(await attempt(optional(), { ...withCertificate(), protocolVersion: 5 })).toBe("code 87");
    expect(await attempt(optional(), { ...withCertificate(set.strangerClient), ...anna })).toContain(
      "cut off",
    );
  });

  test("passwords of both algorithms open the door, wrong ones and unknown users do not", async () => {
    const login = (username: string, password: string, protocolVersion: 4 | 5) =>
      attempt(plain(), { username, password, protocolVersion });
    expect(await login("anna", "geheim", 5)).toBe("let in");
    expect(await login("ben", "anders", 4)).toBe("let in");
    expect(await login("anna", "anders", 5)).toBe("code 86");
    expect(await login("anna", "anders", 4)).toBe("code 4");
    expect(await login("nobody", "geheim", 5)).toBe("code 86");
    setPassword(users, "carl", "neu");
    await waitFor("the new user", 10_000, async () => (await login("carl", "neu", 5)) === "let in");
  });

  test("a topic that no rule allows is refused, counted and does not cross", async () => {
    const client = await connectAsync(plain(), { username: "anna", password: "geheim", protocolVersion: 5 });
    const answer = await client.publishAsync("by/ben/x", "not mine", { qos: 1 }).catch((error) => error);
    expect(answer).toMatchObject({ code: 0x87 });
    await client.publishAsync("by/anna/x", "mine", { qos: 2 });
    await client.endAsync();
    await far.waitForCount(1, "by/anna", () => send.tail());
    expect(far.below("by/ben")).toEqual([]);
    const status = await send.readStatus<ListenStatus>();
    expect(status.ledger.lost).toEqual({ "not-authorized": 1 });
    expect(unaccounted(status.ledger)).toBe(0);
  });

  test("a certificate that is revoked while the agent runs is refused from then on, and the others are not", async () => {
    expect(await attempt(required(), withCertificate(revoked))).toBe("let in");
    await set.authority.revoke(site.workspace.path("crl.pem"), [revoked.certFile]);
    await waitFor("the revocation", 20_000, async () =>
      (await attempt(required(), withCertificate(revoked))).includes("cut off"),
    );
    expect(await attempt(required(), withCertificate(set.client))).toBe("let in");
    const status = await send.readStatus<ListenStatus>();
    expect(refused(status).tls).toBeGreaterThan(0);
  });

  test("a revocation list that has expired lets nobody in with a certificate, until there is a new one", async () => {
    await set.authority.revoke(site.workspace.path("crl.pem"), [], -1);
    await waitFor("the old list", 20_000, async () =>
      (await attempt(required(), withCertificate(set.client))).includes("cut off"),
    );
    await set.authority.revoke(site.workspace.path("crl.pem"), []);
    await waitFor(
      "the new list",
      20_000,
      async () => (await attempt(required(), withCertificate(set.client))) === "let in",
    );
  });
});

requireTools(["mosquitto"])("a restart of the agent", () => {
  test.each(["fsync", "os"])(
    "in the middle of QoS 2 loses nothing and doubles nothing (%s)",
    async (durability) => {
      const port = await findFreeTcpPort();
      const { site, far } = await openSite(
        { anonymous: true, listener: [{ address: `127.0.0.1:${port}` }] },
        { journal: { durability } },
      );
      await using _site = site;
      const recv = await waitUntilReady(site.startRecv());
      let send = await waitUntilReady(site.startSend());
      await recv.waitForLog("target", ({ msg }) => msg === "target hq is connected");
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
        clientId: "steady",
        clean: false,
        protocolVersion: 5,
        properties: { sessionExpiryInterval: 3600 },
        reconnectPeriod: 50,
      });
      const count = 2000;
      let done = 0;
      const flights: Promise<unknown>[] = [];
      for (let i = 0; i < count; i++) {
        while (i - done >= 200) await Promise.race(flights.slice(done, done + 1));
        const flight = client.publishAsync("plant/count", String(i), { qos: 2 }).then(() => {
          done++;
        });
        flights.push(flight);
        if (i % 500 === 250) {
          await send.kill();
          send = site.startSend();
        }
      }
      await Promise.all(flights);
      await client.endAsync();
      await far.waitForCount(count, "plant", () => send.tail());
      const numbers = far.below("plant/count").map(({ payload }) => Number(payload));
      expect(numbers.length).toBe(count);
      expect(new Set(numbers).size).toBe(count);
    },
    120_000,
  );

  test("publishes the wills of the clients it cut off, also after kill -9", async () => {
    const port = await findFreeTcpPort();
    const { site, far } = await openSite({ anonymous: true, listener: [{ address: `127.0.0.1:${port}` }] });
    await using _site = site;
    const { send } = await site.startBoth();
    const connect = (name: string): Promise<MqttClient> =>
      connectAsync(`mqtt://127.0.0.1:${port}`, {
        clientId: name,
        reconnectPeriod: 0,
        will: { topic: `dead/${name}`, payload: Buffer.from("x"), qos: 1, retain: true },
      });
    const clients = [await connect("one")];
    await send.kill();
    const again = await waitUntilReady(site.startSend());
    await far.waitForCount(1, "dead/one", () => again.tail());
    clients.push(await connect("two"));
    expect(await again.stop()).toBe(0);
    await far.waitForCount(1, "dead/two");
    const third = await waitUntilReady(site.startSend());
    clients.push(await connect("three"));
    await clients[2]?.endAsync();
    const last = await connect("four");
    last.stream.destroy();
    await far.waitForCount(1, "dead/four", () => third.tail());
    expect(far.messages.map(({ topic }) => topic)).toEqual(["dead/one", "dead/two", "dead/four"]);
    for (const client of clients) client.end(true);
  }, 60_000);
});

describe("a hostile client", () => {
  test("byte by byte, half open, at random: none of them stops the others", async () => {
    const port = await findFreeTcpPort();
    const { site, far } = await openSite({
      anonymous: true,
      connect_timeout_seconds: 2,
      listener: [{ address: `127.0.0.1:${port}` }],
    });
    await using _site = site;
    const { send } = await site.startBoth();
    const connect = Buffer.from("101000044d515454040200000004736c6f77", "hex");
    const publish = Buffer.from("320e0006736c6f772f610001736c6f77", "hex");
    const slow = connectTcp(port, "127.0.0.1");
    slow.setNoDelay(true);
    const idle = connectTcp(port, "127.0.0.1");
    let idleEnded = false;
    idle.on("close", () => {
      idleEnded = true;
    });
    for (const byte of Buffer.concat([connect, publish])) {
      slow.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await far.waitForCount(1, "slow", () => send.tail());
    for (let i = 0; i < 200; i++) {
      const wild = connectTcp(port, "127.0.0.1");
      wild.on("error", () => {});
      const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(64)));
      const other = Buffer.from(connect.toString("hex").replace("736c6f77", "77696c64"), "hex");
      wild.write(i % 2 === 0 ? Buffer.concat([other, noise]) : noise);
      wild.on("data", () => {});
      if (i % 3 === 0) wild.resetAndDestroy();
      else setImmediate(() => wild.destroy());
      await new Promise((resolve) => setImmediate(resolve));
    }
    await waitFor("the end of the idle connection", 20_000, () => idleEnded);
    slow.write(publish);
    await far.waitForCount(2, "slow", () => send.tail());
    const status = await send.readStatus<ListenStatus>();
    expect(refused(status)["connect-timeout"]).toBeGreaterThanOrEqual(1);
    expect(unaccounted(status.ledger)).toBe(0);
    slow.destroy();
  }, 60_000);
});

test("check tells what would let anyone in by oversight", async () => {
  await using site = await Site.open();
  site.writeSend([
    { name: "a", type: "listen", listener: [{ address: "0.0.0.0:1883" }] },
    {
      name: "b",
      type: "listen",
      anonymous: true,
      listener: [{ address: "0.0.0.0:1883", allow_plain_text: true }],
    },
  ]);
  const run = runProgram("send", ["check", "--config", site.sendFile]);
  expect(run.status).toBe(78);
  expect(run.stderr).toContain("which others can reach, and has no TLS");
  expect(run.stderr).toContain("neither users_file nor user_from");
  expect(run.stderr).toContain('is "0.0.0.0:1883", as in line');
  site.workspace.write("users", "anna:plain\n");
  chmodSync(site.workspace.path("users"), 0o600);
  site.writeSend([
    { name: "a", type: "listen", users_file: "users", listener: [{ address: "127.0.0.1:1883" }] },
  ]);
  const second = runProgram("send", ["check", "--config", site.sendFile]);
  expect(second.stderr).toContain("line 1 has no argon2 or bcrypt hash");
});
