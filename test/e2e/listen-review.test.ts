// Clients of the compiled agent that are connected when what let them in is taken back: a user removed, a password changed, a
// certificate revoked, access rules changed. They are told so and cut off; the others keep their connections.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { type Agent, findProgram } from "../support/agents.ts";
import { type CertificateFiles, type CertificateSet, createCertificateSet } from "../support/certificates.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { SendStatus } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

type ListenStatus = SendStatus & {
  readonly sources: readonly { readonly listen?: { readonly refused: Record<string, number> } }[];
};

/** A client that is in, and what became of it: "" while it is connected, then the reason code or "cut off". */
type Guest = { readonly client: MqttClient; fate: string };

requireTools(["openssl"])("a client that is connected", () => {
  let site: Site;
  let send: Agent;
  let set: CertificateSet;
  let two: CertificateFiles;
  let three: CertificateFiles;
  let ports: number[];
  const guests: Guest[] = [];

  const passwd = (user: string, password: string, more: readonly string[] = []): void => {
    const file = site.workspace.path("users");
    const command = [findProgram("send"), "passwd", "--file", file, "--user", user, ...more];
    const run = Bun.spawnSync(command, { stdin: Buffer.from(`${password}\n`) });
    if (run.exitCode !== 0) throw new Error(run.stderr.toString());
  };

  const writeSend = (access: readonly TomlTable[]): void => {
    const tls = {
      cert_file: set.server.certFile,
      key_file: set.server.keyFile,
      client_ca_file: set.caFile,
      crl_file: site.workspace.path("crl.pem"),
    };
    const [plain = 0, required = 0, optional = 0] = ports;
    site.writeSend([
      {
        name: "floor",
        type: "listen",
        users_file: "users",
        anonymous: true,
        listener: [
          { address: `127.0.0.1:${plain}` },
          {
            address: `127.0.0.1:${required}`,
            tls: { ...tls, client_certificate: "required", user_from: "common-name" },
          },
          {
            address: `127.0.0.1:${optional}`,
            transport: "websocket",
            tls: { ...tls, client_certificate: "optional" },
          },
        ],
        access,
      },
    ]);
  };

  beforeAll(async () => {
    ports = await Promise.all([1, 2, 3].map(() => findFreeTcpPort()));
    site = await Site.open();
    set = await createCertificateSet(site.workspace.directory);
    two = await set.authority.issue("two", { usage: "client" });
    three = await set.authority.issue("three", { usage: "client" });
    await set.authority.revoke(site.workspace.path("crl.pem"), []);
    for (const user of ["anna", "ben", "carl"]) passwd(user, "geheim", ["--algorithm", "bcrypt"]);
    writeSend([{ publish: ["open/#", "by/%u/#"] }]);
    send = await waitUntilReady(site.startSend());
  }, 60_000);

  afterAll(async () => {
    for (const { client } of guests) client.end(true);
    await site[Symbol.asyncDispose]();
  });

  async function join(url: string, options: IClientOptions): Promise<Guest> {
    const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, ...options }, false);
    const guest: Guest = { client, fate: "" };
    client.on("disconnect", ({ reasonCode }) => {
      guest.fate = (reasonCode ?? 0).toString(16);
    });
    client.on("close", () => {
      if (guest.fate === "") guest.fate = "cut off";
    });
    client.on("error", () => {});
    guests.push(guest);
    return guest;
  }

  const joinAs = (username: string, protocolVersion: 4 | 5 = 5) =>
    join(`mqtt://127.0.0.1:${ports[0]}`, { username, password: "geheim", protocolVersion });
  const withCertificate = (files?: CertificateFiles): IClientOptions => ({
    ca: readFileSync(set.caFile),
    ...(files && { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) }),
  });
  const joinRequired = (files: CertificateFiles) =>
    join(`mqtts://localhost:${ports[1]}`, withCertificate(files));
  const joinOptional = (files?: CertificateFiles) =>
    join(`wss://localhost:${ports[2]}/mqtt`, withCertificate(files));

  const waitForFates = (those: readonly Guest[]) =>
    waitFor(
      "the end of the connections",
      20_000,
      () => those.every(({ fate }) => fate !== "") || undefined,
      () => send.tail(),
    );

  const refused = async () => (await send.readStatus<ListenStatus>()).sources[0]?.listen?.refused ?? {};

  /** Proves by an answer of the agent that the connection is alive. */
  const prove = async ({ client, fate }: Guest) => {
    await client.publishAsync("open/alive", "x", { qos: 1 });
    expect(fate).toBe("");
  };

  test("goes when its user is removed or has another password", async () => {
    const anna = await joinAs("anna");
    const ben = await joinAs("ben");
    const old = await joinAs("ben", 4);
    const carl = await joinAs("carl");
    const nobody = await join(`mqtt://127.0.0.1:${ports[0]}`, {});
    passwd("anna", "", ["--delete"]);
    passwd("ben", "neu");
    await waitForFates([anna, ben, old]);
    expect([anna.fate, ben.fate, old.fate]).toEqual(["87", "87", "cut off"]);
    expect((await refused())["user-changed"]).toBe(3);
    for (const guest of [carl, nobody]) await prove(guest);
    await expect(joinAs("anna")).rejects.toMatchObject({ code: 0x86 });
  });

  test("goes when its certificate is revoked, whether that was required or offered", async () => {
    const one = await joinRequired(set.client);
    const gone = [await joinRequired(two), await joinOptional(two), await joinOptional(three)];
    const without = await joinOptional();
    await set.authority.revoke(site.workspace.path("crl.pem"), [two.certFile, three.certFile]);
    await waitForFates(gone);
    expect(gone.map(({ fate }) => fate)).toEqual(["87", "87", "87"]);
    expect((await refused()).revoked).toBe(3);
    for (const guest of [one, without]) await prove(guest);
    await expect(joinRequired(two)).rejects.toThrow();
    await prove(await joinRequired(set.client));
  });

  test("goes when its access rules are others after SIGHUP, and may do what they say when it is back", async () => {
    const carl = await joinAs("carl");
    const nobody = await join(`mqtt://127.0.0.1:${ports[0]}`, {});
    writeSend([
      { publish: ["open/#"] },
      { users: "carl", publish: ["other/#"] },
      { users: "x", publish: "y" },
    ]);
    send.reload();
    await waitForFates([carl]);
    expect(carl.fate).toBe("98");
    // What it may do is the same as before.
    await prove(nobody);
    const again = await joinAs("carl");
    await again.client.publishAsync("other/a", "x", { qos: 1 });
    await expect(again.client.publishAsync("by/carl/a", "x", { qos: 1 })).rejects.toMatchObject({
      code: 0x87,
    });
    // The same rules once more touch nobody.
    const mark = send.logs.length;
    send.reload();
    const read = () => send.logs.slice(mark).some(({ msg }) => msg.includes("access rules read again"));
    await waitFor(
      "the rules to be read",
      20_000,
      () => read() || undefined,
      () => send.tail(),
    );
    await prove(again);
  });
});
