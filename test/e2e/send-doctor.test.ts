// `tidegate-send doctor`: what it says of a host where all is well, and for each thing that a person gets wrong, one sentence with what to do next;
// and that it sends nothing, takes no message, and throws nobody off a broker.
import { expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { Aedes } from "aedes";
import { type Finished, findProgram, runProgram, type SpawnWishes } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { TomlTable } from "../support/toml.ts";

function doctor(site: Site, wishes: SpawnWishes = {}): Finished {
  return runProgram("send", ["doctor", "--config", site.sendFile], wishes);
}

/** What it says of one thing: its lines without the mark. */
function say(stdout: string, subject: string, mark = "FAIL"): string[] {
  const begin = `${mark.padEnd(4)}  ${subject}: `;
  return stdout
    .split("\n")
    .filter((line) => line.startsWith(begin))
    .map((line) => line.slice(begin.length));
}

requireTools(["mosquitto"])("tidegate-send doctor", () => {
  test("tries everything, sends nothing, and leaves the agent's own session as it is", async () => {
    await using site = await Site.open();
    const [plant, business] = [await site.startBroker(), await site.startBroker()];
    const door = await findFreeTcpPort();
    site.writeSend([
      { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#", "$share/group/other/#"] },
      { name: "door", type: "listen", anonymous: true, listener: [{ address: `127.0.0.1:${door}` }] },
    ]);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const near = site.use(await Publisher.start({ door: plant.port }));
    const far = site.use(await Collector.start({ door: business.port }));
    // The broker knows the agent's session, and holds a message for it.
    await (await waitUntilReady(site.startSend())).stop();
    await near.publish("plant/kept", "1", { qos: 1 });
    const heard: Buffer[] = [];
    const link = createSocket("udp4").on("message", (datagram) => heard.push(datagram));
    await new Promise<void>((resolve) => link.bind(site.linkPort, "127.0.0.1", resolve));
    const { status, stdout } = doctor(site);
    expect([status, stdout]).toEqual([0, stdout]);
    expect(say(stdout, "path path-1", "ok")[0]).toStartWith(
      `127.0.0.1:${site.linkPort} can be opened, by lo, MTU `,
    );
    expect(say(stdout, "source door", "ok")).toEqual([`127.0.0.1:${door} can be listened on`]);
    const [taken] = say(stdout, "source line", "ok");
    expect(taken).toMatch(
      /has taken us as "tidegate-send-plant-7-line-doctor", and the topic filter; 1 with \$share/,
    );
    // Whatever was sent to the link before this would have come before it.
    link.send("end", site.linkPort, "127.0.0.1");
    await new Promise<void>((resolve) => link.once("message", () => resolve()));
    expect(heard.map(String)).toEqual(["end"]);
    link.close();
    await waitUntilReady(site.startRecv());
    await waitUntilReady(site.startSend());
    const [kept] = await far.waitForCount(1);
    expect(kept?.topic).toBe("plant/kept");
  }, 90_000);

  test("says of each source what is wrong and what to do", async () => {
    await using site = await Site.open();
    const set = await createCertificateSet(site.workspace.directory);
    const soon = await set.authority.issue("soon", { usage: "server", validToDays: 10 });
    const lasting = await set.authority.issue("lasting", { usage: "server", validToDays: 90 });
    await set.authority.revoke(site.workspace.path("old-crl.pem"), [], -1);
    const acl = site.workspace.write("acl", "topic readwrite allowed/#\ntopic deny secret/#\n", 0o644);
    const broker = await site.startBroker({
      lines: ["per_listener_settings true"],
      listeners: [
        { tls: { server: set.expiredServer } },
        { tls: { server: set.otherNameServer } },
        { tls: { server: lasting } },
        { tls: { server: soon } },
        { users: { someone: "right" } },
        { lines: [`acl_file ${acl}`] },
        { lines: ["max_qos 0"] },
      ],
    });
    const [expired, otherName, good, ending, login, filtered, unsure] = broker.ports;
    const nobody = await findFreeTcpPort();
    const trust = { tls: { ca_file: set.caFile } };
    const own = {
      tls: { ...trust.tls, cert_file: set.expiredClient.certFile, key_file: set.expiredClient.keyFile },
    };
    const cases: Record<string, [source: TomlTable, mark: string, says: string]> = {
      dns: [{ url: "mqtt://broker.invalid" }, "FAIL", "the name broker.invalid has no address"],
      port: [{ url: `mqtt://127.0.0.1:${nobody}` }, "FAIL", "nothing listens at"],
      expired: [{ url: `mqtts://localhost:${expired}`, ...trust }, "FAIL", "has expired"],
      name: [{ url: `mqtts://localhost:${otherName}`, ...trust }, "FAIL", "set tls.server_name"],
      ca: [
        { url: `mqtts://localhost:${good}`, tls: { ca_file: set.strangerCaFile } },
        "FAIL",
        "no authority in tls.ca_file signed the broker's certificate",
      ],
      plain: [{ url: `mqtts://localhost:${filtered}`, ...trust }, "FAIL", "check that the port is for mqtts"],
      login: [{ url: `mqtt://127.0.0.1:${login}` }, "FAIL", "the broker refuses our login"],
      proxy: [
        { url: `mqtt://127.0.0.1:${filtered}`, proxy: { url: `http://127.0.0.1:${nobody}` } },
        "FAIL",
        "cannot be reached (ECONNREFUSED); check proxy.url",
      ],
      ending: [
        { url: `mqtts://localhost:${ending}`, ...trust },
        "warn",
        "the broker's certificate ends in 9 days",
      ],
      ours: [
        { url: `mqtts://localhost:${good}`, ...own },
        "FAIL",
        "our certificate (CN=expired-client) ended on",
      ],
      lower: [
        { url: `mqtt://127.0.0.1:${unsure}`, topics: [{ filter: "a/#", qos: 1 }] },
        "warn",
        "the broker grants a lower QoS than asked for a/#",
      ],
      well: [{ url: `mqtts://localhost:${good}`, ...trust }, "ok", "has taken us as"],
    };
    const thief = createServer();
    await new Promise<void>((resolve) => thief.listen(0, "127.0.0.1", resolve));
    const { port: stolen } = thief.address() as { port: number };
    const tls = {
      cert_file: soon.certFile,
      key_file: soon.keyFile,
      client_certificate: "required",
      client_ca_file: set.caFile,
      crl_file: site.workspace.path("old-crl.pem"),
    };
    site.writeSend([
      ...Object.entries(cases).map(([name, [source]]) => ({ name, topics: ["allowed/#"], ...source })),
      { name: "door", type: "listen", anonymous: true, listener: [{ address: `127.0.0.1:${stolen}`, tls }] },
      {
        name: "stranger",
        type: "listen",
        anonymous: true,
        listener: [{ address: "192.0.2.1:1883", allow_plain_text: true }],
      },
    ]);
    const { status, stdout } = doctor(site);
    thief.close();
    expect(status).toBe(1);
    for (const [name, [, mark, says]] of Object.entries(cases)) {
      const said = say(stdout, `source ${name}`, mark);
      expect([name, said]).toEqual([name, [expect.stringContaining(says)]]);
    }
    expect(say(stdout, "source door")).toEqual([
      expect.stringContaining("(EADDRINUSE); another program has the port"),
      expect.stringMatching(/the revocation list \S*old-crl.pem ended at .* fetch the next one/),
    ]);
    expect(say(stdout, "source door", "warn")[0]).toContain("our certificate (CN=soon) ends in 9 days");
    expect(say(stdout, "source stranger")[0]).toContain("(EADDRNOTAVAIL); no interface has this address");
  }, 120_000);

  test("names the topic filters that a broker refuses", async () => {
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
    const { port } = server.address() as { port: number };
    const topics = ["open/#", "secret/#"];
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${port}`, mqtt_version: "3.1.1", topics }]);
    // The broker answers from this process, which must not stand still.
    const child = Bun.spawn([findProgram("send"), "doctor", "--config", site.sendFile], { stdout: "pipe" });
    const stdout = await new Response(child.stdout).text();
    expect([await child.exited, say(stdout, "source line")]).toEqual([
      1,
      [
        expect.stringContaining(
          "takes us, but refuses the topic filters secret/#; allow them in the broker's access list",
        ),
      ],
    ]);
  }, 30_000);

  test("says of streams, files and the disk what is wrong and what to do", async () => {
    await using site = await Site.open();
    const broker = await site.startBroker();
    const nobody = await findFreeTcpPort();
    const path = (name: string) => site.workspace.path(name);
    writeFileSync(path("plain"), "");
    mkdirSync(path("full"));
    for (const name of ["a.tgd", "b.tgd", ".c.part"]) writeFileSync(path(`full/${name}`), "");
    const relay = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    const { port } = relay.address() as { port: number };
    const paths = [
      { name: "relay", type: "tcp", endpoint: `127.0.0.1:${port}` },
      { name: "no-relay", type: "tcp", endpoint: `127.0.0.1:${nobody}` },
      { name: "program", type: "pipe", command: ["cat"] },
      { name: "no-program", type: "pipe", command: ["no-such-program"] },
      { name: "no-device", type: "pipe", device: "ttyS99" },
      { name: "file", type: "pipe", device: "plain" },
      { name: "no-outbox", type: "directory", directory: "nowhere" },
      { name: "full", type: "directory", directory: "full", outbox_files_max: 2 },
      { name: "dns", type: "udp", endpoint: "diode.invalid:14550" },
      { name: "local", type: "udp", endpoint: "127.0.0.1:14550", local_address: "192.0.2.1" },
      { name: "interface", type: "udp", endpoint: "127.0.0.1:14550", interface: "nosuch0" },
    ];
    // Memory that looks like a disk.
    const memory = `/dev/shm/tidegate-${process.pid}`;
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${broker.port}`, topics: ["#"] }], {
      link: { path: paths },
      journal: { directory: `${memory}/journal`, bytes_max: 17_000_000_000_000 },
    });
    const { status, stdout } = doctor(site);
    relay.close();
    expect(status).toBe(1);
    const expected: Record<string, string> = {
      "no-relay": "refused: nothing listens there; start the diode's relay",
      "no-program": "there is no program no-such-program that this user may run",
      "no-device": "there is no such file",
      file: "it is neither a device nor a named pipe",
      "no-outbox": "make it, or mount what it lies on",
      full: "2 files wait in",
      dns: "the name diode.invalid has no address",
      local: "cannot use the local address 192.0.2.1",
      interface: "there is no network interface nosuch0",
    };
    for (const [name, says] of Object.entries(expected)) {
      const said = say(stdout, `path ${name}`);
      expect([name, said]).toEqual([name, [expect.stringContaining(says)]]);
    }
    expect(say(stdout, "path relay", "ok")[0]).toContain("takes connections");
    expect(say(stdout, "path program", "ok")[0]).toContain("/cat is there");
    const disk = say(stdout, "journal", "warn");
    expect(disk[0]).toContain("make room or lower its bytes_max");
    expect(disk[1]).toContain('is in memory: durability = "fsync" promises what a power cut takes away');
    // Looking makes nothing.
    expect([existsSync(memory), existsSync(path("nowhere"))]).toEqual([false, false]);
    rmSync(memory, { recursive: true, force: true });
  }, 60_000);

  test("asks the agent while it runs, and disturbs nothing", async () => {
    await using site = await Site.open();
    const broker = await site.startBroker();
    const [admin, door] = [await findFreeTcpPort(), await findFreeTcpPort()];
    site.writeSend(
      [
        { name: "line", url: `mqtt://127.0.0.1:${broker.port}`, topics: ["#"] },
        { name: "door", type: "listen", anonymous: true, listener: [{ address: `127.0.0.1:${door}` }] },
      ],
      { admin: { address: `127.0.0.1:${admin}` } },
    );
    await waitUntilReady(site.startSend());
    const { status, stdout } = doctor(site);
    expect([status, stdout]).toEqual([0, stdout]);
    expect(stdout).toContain("agent: it is running");
    expect(say(stdout, "source line", "ok")).toEqual(["connected"]);
    expect(say(stdout, "source door", "ok")).toEqual(["connected"]);
    expect(broker.log().match(/New client connected from .* as tidegate-send/g)).toHaveLength(1);
  }, 60_000);
});
