// `init` and `policy`: what a person begins a profile with, and what the cloud has to allow for it.
import { expect, test } from "bun:test";
import { runProgram } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";

function init(type: string) {
  return runProgram("recv", ["init", type]);
}

requireTools([])("tidegate-recv init", () => {
  test("prints for each type a profile that check takes, once its files are there", async () => {
    const help = runProgram("recv", ["init", "--help"]).stdout;
    const types = (/One of (.*)/.exec(help)?.[1] ?? "").split(", ");
    expect(types.length).toBeGreaterThan(3);
    for (const type of types) {
      await using site = await Site.open();
      site.writeRecv();
      const set = await createCertificateSet(site.workspace.path("."));
      const { status, stdout } = init(type);
      expect(status).toBe(0);
      for (const [, key, file = ""] of stdout.matchAll(/^(\w+_file) = "([^"]+)"/gm)) {
        const from =
          key === "key_file" ? set.client.keyFile : key === "cert_file" ? set.client.certFile : set.caFile;
        const secrets: Record<string, string> = {
          password_file: "secret",
          device_key_file: Buffer.alloc(32, 7).toString("base64"),
        };
        const text = secrets[key ?? ""] ?? (await Bun.file(from).text());
        site.workspace.write(`targets.d/${file}`, text, 0o600);
      }
      site.workspace.write("targets.d/hq.toml", stdout.replaceAll("PREFIX", "abc123"));
      expect([type, runProgram("recv", ["check", "--config", site.recvFile])]).toMatchObject([
        type,
        { status: 0, stderr: "" },
      ]);
    }
  }, 60_000);

  test("names the types when it is asked for another", () => {
    const { status, stderr } = init("kafka");
    expect(status).toBe(2);
    expect(stderr).toContain(
      'there is no type "kafka", must be one of mqtt, hivemq-cloud, emqx-cloud, aws-iot, azure-iot-hub, azure-event-grid, sparkplug',
    );
  });
});

requireTools([])("tidegate-recv policy", () => {
  test("prints the least that AWS IoT has to allow", async () => {
    await using site = await Site.open();
    site.writeRecv();
    const set = await createCertificateSet(site.workspace.directory);
    site.writeTarget("aws", {
      type: "aws-iot",
      endpoint: "abc-ats.iot.eu-west-1.amazonaws.com",
      client_id: "plant-7",
      connections: 2,
      reconnect_min_ms: 1000,
      reconnect_max_ms: 1000,
      tls: { cert_file: set.client.certFile, key_file: set.client.keyFile },
      topics: ["plant/+/temperature", "alarms/#"],
      topic_prefix: "p7/",
      rule: [{ match: "alarms/{line}/#", topic: "dt/{line}/{#}" }],
    });
    const { status, stdout } = runProgram("recv", ["policy", "--config", site.recvFile, "--target", "aws"]);
    expect(status).toBe(0);
    const arn = (rest: string) => `arn:aws:iot:eu-west-1:ACCOUNT_ID:${rest}`;
    expect(JSON.parse(stdout.slice(stdout.indexOf("{")))).toEqual({
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Action: "iot:Connect",
          Resource: [arn("client/plant-7-1"), arn("client/plant-7-2")],
        },
        {
          Effect: "Allow",
          Action: "iot:Publish",
          Resource: ["p7/plant/*/temperature", "p7/alarms/*", "p7/dt/*/*"].map((topic) =>
            arn(`topic/${topic}`),
          ),
        },
      ],
    });
  });

  test("is enough for the broker that it is for, and no more", async () => {
    await using site = await Site.open();
    site.writeRecv();
    site.writeTarget("hq", {
      url: "mqtt://127.0.0.1:1",
      username: "plant-7",
      topics: ["plant/#"],
      rule: [{ match: "debug/#", action: "drop" }],
    });
    const { stdout } = runProgram("recv", ["policy", "--config", site.recvFile]);
    expect(stdout).toBe("# target hq (mqtt)\nuser plant-7\ntopic write plant/#\n");
    expect(runProgram("recv", ["policy", "--config", site.recvFile, "--target", "x"])).toMatchObject({
      status: 2,
      stderr: 'tidegate-recv policy: there is no target "x", only hq\n',
    });
  });
});
