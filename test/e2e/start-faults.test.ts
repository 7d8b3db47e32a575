// What an operator can get wrong before the first message: the command line, the two files, the profiles, the modes of
// secret files, a port or directory that is not to be had. Each ends with its exit status and says what is wrong.
import { describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { chmodSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { type AgentName, type Finished, runProgram } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { Site } from "../support/site.ts";

const AGENTS: readonly AgentName[] = ["send", "recv"];
const SOURCE = { name: "line", url: "mqtt://127.0.0.1:1", topics: ["plant/#"] };
const TARGET = { url: "mqtt://127.0.0.1:1" };

/** A site whose two files are in order. */
async function openGoodSite(): Promise<Site> {
  const site = await Site.open();
  site.writeSend([SOURCE]);
  site.writeRecv();
  site.writeTarget("hq", TARGET);
  return site;
}

const check = (site: Site, agent: AgentName): Finished =>
  runProgram(agent, ["check", "--config", `${agent}.toml`], { directory: site.workspace.directory });

/** Each line of the output, without the directory that no two runs share. */
function linesOf(site: Site, { stderr }: Finished): string[] {
  return stderr.replaceAll(`${site.workspace.directory}/`, "").trimEnd().split("\n");
}

describe("the command line", () => {
  test.each([
    [[], /no command given/],
    [["rum"], /unknown command "rum", did you mean run\?/],
    [["run"], /--config FILE is missing/],
    [["run", "--confg", "x"], /unknown option "--confg", did you mean --config\?/],
    [["run", "--config"], /--config has no value/],
    [["run", "--config", "a", "b"], /unexpected argument "b"/],
    [["check", "--config", "a", "--config", "b"], /given twice/],
    [["keygen"], /keygen: FILE is missing/],
  ] as const)("that is wrong ends with status 2 and one line: %j", (args, says) => {
    for (const agent of AGENTS) {
      const run = runProgram(agent, args);
      expect(run).toMatchObject({ status: 2, stdout: "" });
      expect(run.stderr.trimEnd().split("\n")).toEqual([expect.stringMatching(says)]);
    }
  });

  test("that asks for help gets it on standard output, with status 0", () => {
    for (const agent of AGENTS) {
      const run = runProgram(agent, ["--help"]);
      expect(run).toMatchObject({ status: 0, stderr: "" });
      for (const command of ["run", "check", "keygen", "status"]) {
        expect(run.stdout).toContain(command);
        expect(runProgram(agent, [command, "--help"])).toMatchObject({ status: 0, stderr: "" });
      }
    }
  });
});

describe("keygen", () => {
  test("writes a key that only its owner can read, prints its id and not the key, and never overwrites one", async () => {
    using workspace = (await Site.open()).workspace;
    const file = workspace.path("new.key");
    const run = runProgram("recv", ["keygen", "--out", file]);
    expect(run).toMatchObject({ status: 0, stderr: "" });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const key = readFileSync(file, "utf8");
    const [, secret = "?"] = /tidegate-key-1:(\S+)/.exec(key) ?? [];
    expect(run.stdout).not.toContain(secret);
    const again = runProgram("send", ["keygen", "--out", file]);
    expect(again).toMatchObject({ status: 1, stdout: "" });
    expect(again.stderr).toContain("must not be overwritten");
    expect(readFileSync(file, "utf8")).toBe(key);
  });
});

describe("a configuration", () => {
  test("that is fine is said to be, with the key id that is the same on both sides", async () => {
    await using site = await openGoodSite();
    const [send, recv] = AGENTS.map((agent) => check(site, agent));
    expect(send).toMatchObject({ status: 0, stderr: "" });
    expect(recv).toMatchObject({ status: 0, stderr: "" });
    const keyId = / (?:key id|key ids) ([0-9a-f]{4})/;
    expect(keyId.exec(send?.stdout ?? "")?.[1]).toMatch(/^[0-9a-f]{4}$/);
    expect(keyId.exec(send?.stdout ?? "")?.[1]).toBe(keyId.exec(recv?.stdout ?? "")?.[1] as string);
  });

  test("with faults gets status 78 and all of them at once, each with file, line and column", async () => {
    await using site = await openGoodSite();
    site.workspace.write(
      "send.toml",
      `[link]
id = "plant 7"
key_file = "link.key"
hartbeat_ms = 500

[[link.path]]
type = "udp"
endpoint = "10.0.0.1"

[journal]
directory = "journal"
durability = "always"

[[source]]
name = "line"
type = "subscribe"
url = "http://127.0.0.1"
topics = ["plant/#/x"]
`,
    );
    const run = check(site, "send");
    expect(run).toMatchObject({ status: 78, stdout: "" });
    expect(linesOf(site, run)).toEqual([
      expect.stringMatching(/^send\.toml:2:1: link\.id: .*"plant 7".*; must be /),
      expect.stringMatching(/^send\.toml:4:1: link\.hartbeat_ms: .*heartbeat_ms/),
      expect.stringMatching(/^send\.toml:8:1: link\.path\[0\]\.endpoint: .*10\.0\.0\.1.*; must be /),
      expect.stringMatching(/^send\.toml:12:1: journal\.durability: .*"always".*; must be /),
      expect.stringMatching(/^send\.toml:17:1: source\[0\]\.url: .*; must be /),
      expect.stringMatching(/^send\.toml:18:11: source\[0\]\.topics\[0\]: .*plant\/#\/x/),
    ]);
    // `run` refuses the same in the same words, before it touches anything.
    const started = runProgram("send", ["run", "--config", "send.toml"], {
      directory: site.workspace.directory,
    });
    expect(started).toEqual(run);
  });

  test("that is no TOML, or not there, is said so", async () => {
    await using site = await openGoodSite();
    site.workspace.write("recv.toml", 'targets = "t"\nlink = = 1\n');
    expect(linesOf(site, check(site, "recv"))).toEqual([expect.stringMatching(/^recv\.toml:2:8: /)]);
    const missing = runProgram("recv", ["check", "--config", "nowhere.toml"], {
      directory: site.workspace.directory,
    });
    expect(missing.status).toBe(78);
    expect(missing.stderr).toMatch(/^nowhere\.toml:1:1: file: .*does not exist/);
  });

  test("without a profile, or with two that share a name or a seat at a broker, is refused", async () => {
    await using site = await openGoodSite();
    site.writeTarget("second", { ...TARGET, client_id: "plant-7-hq" });
    site.writeTarget("third", { ...TARGET, name: "hq" });
    const run = check(site, "recv");
    expect(run.status).toBe(78);
    expect(linesOf(site, run)).toEqual([
      expect.stringMatching(
        /^targets\.d\/second\.toml:\d+:\d+: client_id: .*targets\.d\/hq\.toml already; must be unique/,
      ),
      expect.stringMatching(
        /^targets\.d\/third\.toml:\d+:\d+: name: .*targets\.d\/hq\.toml already; must be unique/,
      ),
    ]);
    site.workspace.write("empty/keep", "");
    site.writeRecv({ targets: "empty" });
    expect(linesOf(site, check(site, "recv"))).toEqual([
      expect.stringMatching(/^recv\.toml:1:1: targets: .*holds no profile/),
    ]);
  });

  test.each(["link.key", "password", "client.key", "token"])(
    "whose secret file %s others can read is refused",
    async (file) => {
      await using site = await openGoodSite();
      const { client, caFile } = await createCertificateSet(site.workspace.directory);
      site.workspace.write("password", "secret");
      site.workspace.write("token", "0123456789abcdef0123");
      const login = { url: "mqtts://127.0.0.1:1", username: "x", password_file: "../password" };
      const tls = { ca_file: caFile, cert_file: client.certFile, key_file: client.keyFile };
      site.writeTarget("hq", { ...login, tls });
      site.writeRecv({ admin: { address: "127.0.0.1:0", token_file: "token" } });
      expect(check(site, "recv")).toMatchObject({ status: 0 });
      chmodSync(site.workspace.path(file), 0o640);
      const run = check(site, "recv");
      expect(run.status).toBe(78);
      expect(linesOf(site, run)).toEqual([
        expect.stringMatching(/has mode 0640, so others can get at it; .*chmod 600/),
      ]);
    },
  );
});

describe("a start", () => {
  test("on a link port that another program has ends with status 1 and says so", async () => {
    await using site = await openGoodSite();
    const other = createSocket("udp4");
    await new Promise<void>((resolve) => other.bind(site.linkPort, "127.0.0.1", resolve));
    site.use({ [Symbol.asyncDispose]: () => new Promise((resolve) => other.close(() => resolve())) });
    expectFatal(runRun(site, "recv"), /^cannot bind 127\.0\.0\.1:\d+: another program has it/);
  });

  test("on an admin port that another program has ends with status 1 and says so", async () => {
    await using site = await openGoodSite();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    site.use({ [Symbol.asyncDispose]: () => new Promise((resolve) => other.close(() => resolve())) });
    const address = other.address();
    const admin = { admin: { address: `127.0.0.1:${typeof address === "object" ? address?.port : 0}` } };
    site.writeSend([SOURCE], admin);
    site.writeRecv(admin);
    for (const agent of AGENTS)
      expectFatal(runRun(site, agent), /^cannot listen on admin\.address 127\.0\.0\.1:\d+: /);
  });

  test("on a directory that cannot be written ends with status 1 and names it", async () => {
    await using site = await openGoodSite();
    site.workspace.write("a-file", "");
    site.writeSend([SOURCE], { journal: { directory: "a-file/journal" } });
    site.writeRecv({ spool: { directory: "/proc/spool" } });
    expectFatal(runRun(site, "send"), /a-file\/journal/);
    expectFatal(runRun(site, "recv"), /\/proc\/spool/);
  });
});

function runRun(site: Site, agent: AgentName): Finished {
  return runProgram(agent, ["run", "--config", `${agent}.toml`], { directory: site.workspace.directory });
}

/** It failed, and the last line of its log, the only one above "warn", says why. */
function expectFatal(run: Finished, says: RegExp): void {
  expect(run).toMatchObject({ status: 1, stdout: "" });
  const logs = run.stderr
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const grave = logs.filter(({ level }) => level === "error" || level === "fatal");
  expect(grave).toEqual([expect.objectContaining({ level: "fatal", msg: expect.stringMatching(says) })]);
  expect(logs.at(-1)).toBe(grave[0]);
}
