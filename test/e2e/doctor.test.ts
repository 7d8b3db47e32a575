// `doctor`: what it says of a host where all is well, and for each thing that a person gets wrong, one sentence with what
// to do next.
import { expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { runProgram } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { Collector } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";

function doctor(site: Site) {
  return runProgram("recv", ["doctor", "--config", site.recvFile]);
}

requireTools(["mosquitto"])("tidegate-recv doctor", () => {
  test("tries everything, publishes one probe, and leaves nothing behind", async () => {
    await using site = await Site.open();
    const business = await site.startBroker();
    site.writeRecv();
    site.writeTarget("hq", {
      url: `mqtt://127.0.0.1:${business.port}`,
      topic_prefix: "p7/",
      probe: { topic: "probe" },
    });
    const far = site.use(await Collector.start({ door: business.port }));
    const { status, stdout } = await doctor(site);
    expect([status, stdout]).toEqual([0, stdout]);
    expect(stdout).toContain("ok    spool: ");
    expect(stdout).toContain(`path path-1: 127.0.0.1:${site.linkPort}`);
    expect(stdout).toContain("ok    target hq: mqtt://127.0.0.1");
    const [probe] = await far.waitForCount(1);
    expect(probe?.topic).toBe("p7/probe");
    expect((await doctor(site)).status).toBe(0);
  }, 60_000);

  test("says for each failure what it means and what to do", async () => {
    await using site = await Site.open();
    const set = await createCertificateSet(site.workspace.directory);

    const acl = site.workspace.write("acl", "topic read readonly\n", 0o644);
    const business = await site.startBroker({
      lines: ["per_listener_settings true"],
      listeners: [
        { tls: { server: set.expiredServer } },
        { tls: { server: set.otherNameServer } },
        { tls: { server: set.server } },
        { users: { someone: "right" } },
        { lines: [`acl_file ${acl}`] },
      ],
    });
    const [expired, otherName, good, login, readers] = business.ports;
    const nobody = await findFreeTcpPort();
    const trust = { tls: { ca_file: set.caFile } };
    const cases: Record<string, [profile: object, says: string]> = {
      dns: [{ url: "mqtt://broker.invalid" }, "the name broker.invalid has no address"],
      port: [{ url: `mqtt://127.0.0.1:${nobody}` }, "nothing listens at"],
      expired: [{ url: `mqtts://localhost:${expired}`, ...trust }, "has expired"],
      name: [{ url: `mqtts://localhost:${otherName}`, ...trust }, "set tls.server_name"],
      ca: [
        { url: `mqtts://localhost:${good}`, tls: { ca_file: set.strangerCaFile } },
        "no authority in tls.ca_file signed the broker's certificate",
      ],
      plain: [{ url: `mqtts://localhost:${readers}`, ...trust }, "check that the port is for mqtts"],
      login: [{ url: `mqtt://127.0.0.1:${login}` }, "the broker refuses our login"],
      proxy: [
        { url: `mqtt://127.0.0.1:${readers}`, proxy: { url: `http://127.0.0.1:${nobody}` } },
        "cannot be reached (ECONNREFUSED); check proxy.url",
      ],
      policy: [
        { url: `mqtt://127.0.0.1:${readers}`, mqtt_version: "5", probe: { topic: "probe" } },
        "the broker refuses the probe: ",
      ],
    };
    site.writeRecv({ spool: { bytes_max: 17_000_000_000_000 } });
    for (const [name, [profile]] of Object.entries(cases)) site.writeTarget(name, { ...profile });
    // Somebody else has the port of the link.
    const thief = createSocket("udp4");
    await new Promise<void>((resolve) => thief.bind(site.linkPort, "127.0.0.1", resolve));
    const { status, stdout } = await doctor(site);
    thief.close();
    expect(status).toBe(1);
    const lines = stdout.split("\n");
    for (const [name, [, says]] of Object.entries(cases)) {
      const line = lines.find((each) => each.includes(`target ${name}: `));
      expect([name, line]).toEqual([name, expect.stringContaining(says)]);
      expect(line).toStartWith("FAIL");
    }
    expect(stdout).toContain("FAIL  path path-1: ");
    expect(stdout).toContain("warn  spool: ");
    expect(lines.at(-2)).toBe("10 of 13 checks failed");
  }, 120_000);

  test("asks the agent while it runs, and disturbs nothing", async () => {
    await using site = await Site.open();
    const business = await site.startBroker();
    const port = await findFreeTcpPort();
    site.writeRecv({ admin: { address: `127.0.0.1:${port}` } });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    await waitUntilReady(site.startRecv());
    const { status, stdout } = await doctor(site);
    expect([status, stdout]).toEqual([0, stdout]);
    expect(stdout).toContain("agent: it is running");
    expect(stdout).toContain("ok    target hq: connected");
    expect(business.log().match(/New client connected from .* as plant-7-hq/g)).toHaveLength(1);
  }, 60_000);
});
