// The way to a broker through a real proxy: HTTP CONNECT and SOCKS5, with and without a login, below every kind of
// connection; and what the operator reads when the proxy says no.
import { expect, test } from "bun:test";
import { createCertificateSet } from "../support/certificates.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { ProxyServer } from "../support/proxies.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { RecvStatus, SendStatus } from "../support/status.ts";

const LOGIN = { username: "plant-7", password: "Wasser9" };

requireTools(["mosquitto", "tinyproxy", "microsocks"])("a proxy", () => {
  test("of either kind carries sources and targets of every scheme, and learns the name of the broker", async () => {
    await using site = await Site.open();
    const certificates = await createCertificateSet(site.workspace.directory);
    const tls = { server: certificates.server };
    const plant = await site.startBroker();
    const business = await site.startBroker({
      listeners: [{}, { tls }, { websockets: true }, { websockets: true, tls }],
    });
    const [plain = 0, secure = 0, ws = 0, wss = 0] = business.ports;
    const login = LOGIN;
    const http = site.use(await ProxyServer.start("http", { ports: [...business.ports, plant.port], login }));
    const socks = site.use(await ProxyServer.start("socks5", { login }));
    site.workspace.write("proxy.password", `${login.password}\n`, 0o600);
    const through = ({ url }: ProxyServer) => ({
      url,
      username: login.username,
      password_file: "../proxy.password",
    });
    const proxy = { url: http.url, username: login.username, password_file: "proxy.password" };
    site.writeSend([{ name: "line", url: `mqtt://localhost:${plant.port}`, topics: ["plant/#"], proxy }]);
    site.writeRecv();
    const doors = {
      mqtt: `mqtt://localhost:${plain}`,
      mqtts: `mqtts://localhost:${secure}`,
      ws: `ws://localhost:${ws}/mqtt`,
      wss: `wss://localhost:${wss}/mqtt`,
    };
    for (const [scheme, url] of Object.entries(doors)) {
      for (const [kind, used] of Object.entries({ http, socks })) {
        const trust =
          scheme.endsWith("s") && scheme !== "ws" ? { tls: { ca_file: certificates.caFile } } : {};
        const name = `${scheme}-${kind}`;
        site.writeTarget(name, { url, topic_prefix: `${name}/`, proxy: through(used), ...trust });
      }
    }
    const far = site.use(await Collector.start({ door: business.port }));
    await site.startBoth();
    const near = site.use(await Publisher.start({ door: plant.port }));
    await near.publish("plant/x", Buffer.alloc(100_000, "x"), { qos: 1 });
    const messages = await far.waitForCount(8);
    expect(messages.every(({ payload }) => payload.equals(Buffer.alloc(100_000, "x")))).toBe(true);
    expect(messages.map(({ topic }) => topic).sort()).toEqual(
      Object.keys(doors)
        .flatMap((scheme) => [`${scheme}-http/plant/x`, `${scheme}-socks/plant/x`])
        .sort(),
    );
    expect(http.log).toContain(`CONNECT localhost:${secure}`);
  }, 60_000);

  test("that says no, is not there, or is none is told in one clear line", async () => {
    await using site = await Site.open();
    const business = await site.startBroker();
    const plant = await site.startBroker();
    const strict = site.use(await ProxyServer.start("http", { ports: [443] }));
    const httpLogin = site.use(await ProxyServer.start("http", { ports: [business.port], login: LOGIN }));
    const socksLogin = site.use(await ProxyServer.start("socks5", { login: LOGIN }));
    const socks = site.use(await ProxyServer.start("socks5"));
    const dead = await findFreeTcpPort();
    const cases: Record<string, { readonly proxy: object; readonly port?: number; readonly says: string }> = {
      "no-way": {
        proxy: { url: strict.url },
        says: `the proxy 127.0.0.1:${strict.port} does not open the way to 127.0.0.1:${business.port}: it answers "403`,
      },
      "no-login": {
        proxy: { url: httpLogin.url },
        says: `${httpLogin.port} wants another login (it answers "407`,
      },
      "wrong-login": {
        proxy: { url: socksLogin.url, username: "plant-7", password_env: "PROXY_PASSWORD" },
        says: `${socksLogin.port} wants another login (it answers "Socks5 Authentication failed`,
      },
      "far-side": {
        proxy: { url: socks.url },
        port: dead,
        says: `does not open the way to 127.0.0.1:${dead}`,
      },
      "not-there": { proxy: { url: `http://127.0.0.1:${dead}` }, says: "cannot be reached (ECONNREFUSED)" },
      "no-proxy": { proxy: { url: `http://127.0.0.1:${business.port}` }, says: "does not behave like one" },
    };
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    for (const [name, { proxy, port = business.port }] of Object.entries(cases))
      site.writeTarget(name, { url: `mqtt://127.0.0.1:${port}`, proxy: { ...proxy } });
    const recv = site.startRecv({ env: { PROXY_PASSWORD: "not it" } });
    for (const [name, { says }] of Object.entries(cases)) {
      const status = await recv.waitForStatus<RecvStatus>(
        `${name} to be down`,
        ({ targets }) => targets.find((target) => target.name === name)?.state === "down",
      );
      expect(status.targets.find((target) => target.name === name)?.problem).toContain(says);
    }
    expect(recv.tail()).not.toContain("not it");
  }, 60_000);

  test("that dies and comes back loses nothing", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const business = await site.startBroker();
    const port = await findFreeTcpPort();
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", {
      url: `mqtt://127.0.0.1:${business.port}`,
      proxy: { url: `socks5://127.0.0.1:${port}` },
    });
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const recv = await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend());
    const first = await ProxyServer.start("socks5", {}, port);
    await near.publish("plant/1", Buffer.from("1"), { qos: 1 });
    await far.waitForCount(1);
    await first[Symbol.asyncDispose]();
    await near.publish("plant/2", Buffer.from("2"), { qos: 1 });
    await recv.waitForStatus<RecvStatus>("down", ({ targets }) => targets[0]?.state === "down");
    site.use(await ProxyServer.start("socks5", {}, port));
    const messages = await far.waitForCount(2);
    expect(messages.map(({ topic }) => topic)).toEqual(["plant/1", "plant/2"]);
    expect((await send.readStatus<SendStatus>()).ledger.forwarded).toBe(2);
  }, 60_000);
});
