// The agents at work in hostile surroundings: files in the working directory that a Bun or Node would obey, variables that
// make libraries talk. Nothing of it is obeyed, and no secret and no payload is in anything the agents print or serve.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { type Agent, runProgram } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { waitFor } from "../support/wait.ts";

const PLANT_PASSWORD = "plant-Passwort-1";
const BUSINESS_PASSWORD = "business-Passwort-2";
const TOKEN = "a-token-of-some-length-3";
const PAYLOAD = "payload-that-nobody-reads-4";
const LOUD = { DEBUG: "*", NODE_DEBUG: "net,tls,dgram", MQTT_DEBUG: "*" };

function layTrap(site: Site): string {
  const spring = (file: string) =>
    `require("node:fs").writeFileSync(${JSON.stringify(site.workspace.path(file))}, "");`;
  site.workspace.write("trap/preload.js", `${spring("sprung")} console.log("sprung");\n`);
  site.workspace.write("trap/bunfig.toml", 'preload = ["./preload.js"]\nlogLevel = "debug"\n');
  site.workspace.write(
    "trap/.env",
    `NODE_OPTIONS=--require=./preload.js\nBUN_OPTIONS=--preload=./preload.js\nTEST_BUSINESS_PASSWORD=from-the-trap\n`,
  );
  site.workspace.write(
    "trap/package.json",
    '{ "name": "x", "type": "commonjs", "imports": { "#x": "./preload.js" } }\n',
  );
  site.workspace.write("trap/tsconfig.json", "{ broken");
  site.workspace.write("trap/node_modules/mqtt/index.js", spring("sprung"));
  return site.workspace.path("trap");
}

async function readPages(agent: Agent): Promise<string> {
  const url = await agent.adminUrl();
  const headers = { authorization: `Bearer ${TOKEN}` };
  const pages = ["/api/status", "/metrics", "/healthz", "/readyz"].map(async (page) => {
    const response = await fetch(url + page, { headers });
    expect(response.status).toBe(200);
    return await response.text();
  });
  return (await Promise.all(pages)).join("\n");
}

requireTools(["mosquitto", "mosquitto_passwd"])("hostile surroundings", () => {
  test("are not obeyed, and make neither agent tell a secret or a payload", async () => {
    await using site = await Site.open();
    const { server, client, caFile } = await createCertificateSet(site.workspace.directory);
    const plant = await site.startBroker({ listeners: [{ users: { plant: PLANT_PASSWORD } }] });
    const business = await site.startBroker({
      listeners: [
        { users: { business: BUSINESS_PASSWORD }, tls: { server, caFile, requireCertificate: true } },
        { users: { business: "another" } },
      ],
    });
    site.workspace.write("password", PLANT_PASSWORD);
    site.workspace.write("token", TOKEN);
    const shared = { admin: { address: "127.0.0.1:0", token_file: "token" }, log: { level: "trace" } };
    const login = { username: "business", password_env: "TEST_BUSINESS_PASSWORD" };
    site.writeSend(
      [
        {
          name: "line",
          url: `mqtt://127.0.0.1:${plant.port}`,
          username: "plant",
          password_file: "password",
          topics: ["plant/#"],
        },
      ],
      { ...shared, limits: { message_bytes_max: 100 } },
    );
    site.writeRecv(shared);
    site.writeTarget("hq", {
      ...login,
      url: `mqtts://localhost:${business.ports[0]}`,
      tls: { ca_file: caFile, cert_file: client.certFile, key_file: client.keyFile },
    });
    site.writeTarget("refused", { ...login, url: `mqtt://localhost:${business.ports[1]}` });
    const surroundings = {
      directory: layTrap(site),
      env: { ...LOUD, TEST_BUSINESS_PASSWORD: BUSINESS_PASSWORD },
    };
    const far = site.use(await Collector.start({ door: business.socketPath }));
    const near = site.use(await Publisher.start({ door: plant.socketPath }));
    const recv = await waitUntilReady(site.startRecv(surroundings));
    const send = await waitUntilReady(site.startSend(surroundings));
    for (const payload of [PAYLOAD, PAYLOAD.repeat(10)]) await near.publish("plant/x", payload, { qos: 1 });
    await far.waitForCount(1, "plant/x", () => `${send.tail()}\n${recv.tail()}`);
    await send.waitForLog("the refusal", ({ reason }) => reason === "oversize");
    await recv.waitForLog(
      "the refused login",
      ({ target, level }) => target === "refused" && level === "warn",
    );

    const printed = [await readPages(send), await readPages(recv)];
    for (const [agent, file] of [
      ["send", site.sendFile],
      ["recv", site.recvFile],
    ] as const) {
      for (const command of ["check", "status"]) {
        const run = runProgram(agent, [command, "--config", file], surroundings);
        printed.push(run.stdout, run.stderr);
        expect(run.stdout).not.toContain("sprung");
      }
    }
    expect(await send.stop()).toBe(0);
    expect(await recv.stop()).toBe(0);
    for (const agent of [send, recv]) {
      printed.push(agent.stdout, agent.stderr);
      expect(agent.stdout).toBe("");
      // Libraries that talk would talk in lines of their own.
      expect(
        agent.stderr
          .trimEnd()
          .split("\n")
          .filter((line) => !line.startsWith("{")),
      ).toEqual([]);
    }
    expect(existsSync(site.workspace.path("sprung"))).toBe(false);
    const linkKey = /tidegate-key-1:(\S+)/.exec(site.workspace.read("link.key"))?.[1] ?? "?";
    const clientKey = readFileSync(client.keyFile, "utf8").split("\n")[1] ?? "?";
    for (const secret of [PLANT_PASSWORD, BUSINESS_PASSWORD, TOKEN, PAYLOAD, linkKey, clientKey]) {
      const encodings = [secret, Buffer.from(secret).toString("base64"), Buffer.from(secret).toString("hex")];
      for (const text of encodings) expect(printed.filter((output) => output.includes(text))).toEqual([]);
    }
    const raw = Buffer.from(linkKey, "base64").toString("hex");
    expect(printed.filter((output) => output.toLowerCase().includes(raw))).toEqual([]);
  }, 60_000);
});

test("a secret that is in the wrong place or form is refused without being printed", async () => {
  await using site = await Site.open();
  const secret = "Geheimnis-5";
  site.workspace.write("bad.key", `tidegate-key-1:${secret}\n`);
  site.workspace.write("bad-password", `${secret}\nand another line\n`);
  site.workspace.write("bad-token", `${secret} x\n`);
  site.workspace.write(
    "bad-client.key",
    `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`,
  );
  const { client } = await createCertificateSet(site.workspace.directory);
  site.writeRecv({
    link: { key_file: "bad.key" },
    admin: { address: "127.0.0.1:0", token_file: "bad-token" },
  });
  site.writeTarget("a", { url: `mqtt://user:${secret}@127.0.0.1:1` });
  site.writeTarget("b", { url: "mqtt://127.0.0.1:1", username: "x", password_file: "../bad-password" });
  site.writeTarget("c", { url: "mqtt://127.0.0.1:1", username: "x", password: secret });
  site.writeTarget("d", {
    url: "mqtts://127.0.0.1:1",
    tls: { cert_file: client.certFile, key_file: site.workspace.path("bad-client.key") },
  });
  site.workspace.write(
    "targets.d/e.toml",
    `type = "mqtt"\nurl = "mqtt://127.0.0.1:1"\nclient_id = "e"\npassword_file = ${secret}\n`,
  );
  for (const command of ["check", "run"]) {
    const run = runProgram("recv", [command, "--config", site.recvFile], { env: LOUD });
    expect(run).toMatchObject({ status: 78, stdout: "" });
    expect(run.stderr.trimEnd().split("\n")).toHaveLength(7);
    expect(run.stderr).not.toContain(secret);
  }
  await waitFor("nothing left behind", 1000, () => !existsSync(site.workspace.path("spool")));
});
