// tidegate-send: the program. Command line, signals and exit status; the only file of the agent that touches `process`.
import { randomBytes } from "node:crypto";
import { fetchStatus } from "../../shared/admin/client.ts";
import { startAdmin } from "../../shared/admin/server.ts";
import { createAnchoredClock, describeStep, holdForTurn } from "../../shared/anchored-clock.ts";
import { BUILD_INFO } from "../../shared/build-info.ts";
import { CONFIG_OPTION, type CommandTable, KEYGEN_COMMAND } from "../../shared/cli/command.ts";
import { EXIT, type ExitStatus } from "../../shared/cli/exit.ts";
import { generateKey } from "../../shared/cli/keygen.ts";
import { type CommandValues, parseCommandLine } from "../../shared/cli/parse.ts";
import { readPassword } from "../../shared/cli/password-input.ts";
import { formatFaults } from "../../shared/config/loaded.ts";
import { type Finding, formatFinding, formatVerdict } from "../../shared/doctor/finding.ts";
import { deriveKeyId } from "../../shared/framing/keys.ts";
import { inspectPath } from "../../shared/inspect/inspect.ts";
import { INSPECT_COMMAND } from "../../shared/inspect/options.ts";
import { pump } from "../../shared/inspect/pump.ts";
import { createLog, type Logger } from "../../shared/log.ts";
import { openSupervisor } from "../../shared/native/notify.ts";
import { LogRefusal } from "../../shared/store/schema.ts";
import { loadSendConfig, type SendConfig } from "./config.ts";
import { examine } from "./doctor/doctor.ts";
import { prepareInspect } from "./inspect-command.ts";
import { checkPasswd, PASSWD_COMMAND, setPassword } from "./passwd-command.ts";
import { askReplay } from "./replay-command.ts";
import { SendAgent } from "./run.ts";
import { createMetrics, judgeReadiness, makeStatus, type SendStatus } from "./status.ts";
import { formatSendStatus } from "./status-text.ts";

const { version, commit, date } = BUILD_INFO;

/** What an end in good order may take beyond the grace for messages: disconnecting, closing the disk's files. */
const STOP_MARGIN_MS = 10_000;

const TABLE: CommandTable = {
  program: "tidegate-send",
  summary: "Takes MQTT from a plant and writes it to a one-way link.",
  version: `tidegate-send ${version} (${commit}, ${date})`,
  commands: [
    { name: "run", summary: "Run the agent until SIGTERM or SIGINT", options: [CONFIG_OPTION] },
    {
      name: "check",
      summary: "Read the configuration and every file it names, and tell all faults",
      options: [CONFIG_OPTION],
    },
    {
      name: "doctor",
      summary:
        "Try what the configuration names: disk, paths, sources; says what to do about what fails. Nothing is sent",
      options: [CONFIG_OPTION],
    },
    KEYGEN_COMMAND,
    PASSWD_COMMAND,
    {
      name: "status",
      summary: "Ask the running agent how it is",
      options: [CONFIG_OPTION, { name: "json", summary: "Print the status as JSON" }],
    },
    {
      name: "replay",
      summary: "Send again what the receiver lacks, from the journal of the running agent",
      options: [
        CONFIG_OPTION,
        {
          name: "gap",
          value: "CODE",
          summary: "A code that `tidegate-recv gaps` printed, or several with commas",
        },
        { name: "from", value: "N", summary: "First sequence" },
        { name: "to", value: "N", summary: "Last sequence" },
        { name: "stream", value: "N", summary: "Stream of --from and --to (0 unless given)" },
        {
          name: "since",
          value: "TIME",
          summary: "What was accepted since then: 2026-11-22T14:05:00Z, or 15m, 2h, 1d before now",
        },
        { name: "until", value: "TIME", summary: "What was accepted until then (now unless given)" },
      ],
    },
    INSPECT_COMMAND,
  ],
};

/** On SIGHUP: link keys and access rules are read again, so that they can change while messages flow. */
function reload(file: string, running: SendConfig, agent: SendAgent, log: Logger): void {
  const loaded = loadSendConfig(file, process.env, { expiredCertificates: "allow" });
  if (!loaded.ok) {
    log.error(
      { faults: loaded.faults.length },
      `cannot read the keys again: ${formatFaults(loaded.faults).trim()}`,
    );
    return;
  }
  const { sealing } = loaded.config.link;
  if (sealing !== running.link.sealing) {
    const allowed = `must be "${running.link.sealing}" until the agent is started again`;
    log.error(
      { faults: 1 },
      `cannot read the keys again: ${file}: link.sealing: is "${sealing}", ${allowed}`,
    );
    return;
  }
  agent.setKeys(loaded.config.link.keys.map((key) => key.reveal()));
  log.info({ keyIds: showKeyIds(loaded.config) }, "link keys read again; other changes need a restart");
  agent.setAccess(loaded.config.sources);
}

async function runAgent(file: string, config: SendConfig): Promise<ExitStatus> {
  const log = createLog({ agent: "send", level: config.log.level, file: config.log.file });
  log.info({ version, commit, link: config.link.id, keyIds: showKeyIds(config) }, "tidegate-send starts");
  const anchored = createAnchoredClock(
    Date.now,
    () => performance.now(),
    (deviationMs) => log.warn({ deviationMs }, describeStep(deviationMs)),
  );
  const clock = holdForTurn(anchored);
  try {
    const agent = await SendAgent.start(config, {
      log,
      clock,
      steady: () => performance.now(),
      random: Math.random,
      random64: () => randomBytes(8).readBigUInt64BE(),
    });
    const admin =
      config.admin &&
      startAdmin({
        ...config.admin.address,
        token: config.admin.token?.reveal(),
        metrics: createMetrics(agent.figures),
        status: () => makeStatus(agent.figures(), clock()),
        readiness: () => judgeReadiness(agent.figures()),
      });
    if (admin) log.info({ address: admin.address }, "admin listening");
    process.on("SIGHUP", () => reload(file, config, agent, log));
    const supervisor = openSupervisor(process.env, process.pid, (why) => log.warn(why));
    supervisor.ready(`link ${config.link.id}`);
    const signal = await waitForSignal();
    supervisor.stopping(config.stop.graceSeconds * 1000 + STOP_MARGIN_MS);
    log.info(
      { signal, graceSeconds: config.stop.graceSeconds },
      "stopping: taking no more in, sending what is held",
    );
    const idle = await agent.stop(config.stop.graceSeconds * 1000);
    await admin?.stop();
    supervisor.close();
    log.info({ idle }, idle ? "stopped: all was sent" : "stopped: what was not sent stays in the journal");
    return EXIT.ok;
  } catch (error) {
    log.fatal(error instanceof Error ? error.message : String(error));
    return error instanceof LogRefusal ? EXIT.config : EXIT.failed;
  }
}

async function main(): Promise<ExitStatus> {
  const line = parseCommandLine(process.argv.slice(2), TABLE);
  if (line.kind === "print") return print(line.text);
  if (line.kind === "error") {
    process.stderr.write(`${line.message}\n`);
    return EXIT.usage;
  }
  if (line.name === "keygen") {
    const result = generateKey(line.values.out ?? "", randomBytes, showKeyId);
    process.stderr.write(result.stderr);
    print(result.stdout);
    return result.status;
  }
  if (line.name === "passwd") return passwd(line.values);
  if (line.name === "inspect") return inspect(line.values);
  const isRun = line.name === "run";
  const loaded = loadSendConfig(line.values.config ?? "", process.env, {
    // To doctor one that has ended is a finding among others.
    expiredCertificates: isRun || line.name === "doctor" ? "allow" : "refuse",
  });
  if (!loaded.ok) {
    process.stderr.write(formatFaults(loaded.faults));
    return EXIT.config;
  }
  if (isRun) return runAgent(line.values.config ?? "", loaded.config);
  if (line.name === "check") return check(loaded.config);
  if (line.name === "doctor") return doctor(loaded.config);
  if (line.name === "replay") return replay(loaded.config, line.values);
  return showStatus(loaded.config, line.values);
}

function check(config: SendConfig): ExitStatus {
  const { link, sources } = config;
  return print(
    `configuration is fine: link ${link.id}, ${describeSealing(config)}, ${count(link.paths.length, "path")}, ${count(sources.length, "source")}\n`,
  );
}

async function doctor(config: SendConfig): Promise<ExitStatus> {
  const findings: Finding[] = [];
  for await (const finding of examine(config)) {
    findings.push(finding);
    print(formatFinding(finding));
  }
  print(formatVerdict(findings));
  return findings.some(({ level }) => level === "fail") ? EXIT.failed : EXIT.ok;
}

async function replay(config: SendConfig, values: CommandValues): Promise<ExitStatus> {
  const name = randomBytes(8).toString("hex");
  const result = await askReplay(config.journal.directory, values, Date.now(), name);
  process.stderr.write(result.stderr);
  print(result.stdout);
  return result.status;
}

async function passwd(values: CommandValues): Promise<ExitStatus> {
  const problem = checkPasswd(values);
  if (problem !== undefined) {
    process.stderr.write(`${problem}\n`);
    return EXIT.usage;
  }
  let password = "";
  if (values.delete === undefined) {
    // Killed while somebody types, it must not leave a terminal behind that shows nothing.
    for (const signal of ["SIGTERM", "SIGHUP", "SIGQUIT"] as const)
      process.once(signal, () => {
        if (process.stdin.isTTY) process.stdin.setRawMode(false);
        process.exit(EXIT.failed);
      });
    const typed = await readPassword(process.stdin, (text) => void process.stderr.write(text));
    if (!typed.ok) {
      const why = typed.reason === "different" ? "the two are different" : "it was not typed to its end";
      process.stderr.write(`cannot set the password: ${why}; nothing has changed\n`);
      return EXIT.failed;
    }
    password = typed.password;
  }
  const result = await setPassword(values, password);
  process.stderr.write(result.stderr);
  print(result.stdout);
  return result.status;
}

async function inspect(values: CommandValues): Promise<ExitStatus> {
  const options = prepareInspect(values, process.env);
  if ("status" in options) {
    process.stderr.write(options.stderr);
    return options.status;
  }
  const fault = await pump(inspectPath(values.path ?? "", options), process.stdout);
  if (fault === undefined) return EXIT.ok;
  process.stderr.write(`${fault}\n`);
  return EXIT.failed;
}

async function showStatus(config: SendConfig, values: CommandValues): Promise<ExitStatus> {
  const { admin } = config;
  const result = admin
    ? await fetchStatus(admin.address, admin.token?.reveal())
    : {
        error:
          'cannot ask the agent: the configuration has no [admin] table; add [admin] address = "127.0.0.1:9464"',
      };
  if ("error" in result) {
    process.stderr.write(`${result.error}\n`);
    return EXIT.failed;
  }
  if (values.json) return print(`${JSON.stringify(result.status, null, 2)}\n`);
  return print(formatSendStatus(result.status as SendStatus));
}

function showKeyIds(config: SendConfig): string[] {
  return config.link.keys.map((key) => showKeyId(key.reveal()));
}

function describeSealing(config: SendConfig): string {
  const ids = showKeyIds(config);
  return ids.length === 0 ? "not sealed" : `key id ${ids.join(" and ")}`;
}

function showKeyId(key: Uint8Array): string {
  return deriveKeyId(key).toString(16).padStart(4, "0");
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function print(text: string): ExitStatus {
  process.stdout.write(text);
  return EXIT.ok;
}

/** The first signal stops cleanly; a second one, for the impatient, ends at once. */
function waitForSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      let seen = false;
      process.on(signal, () => {
        if (seen) process.exit(EXIT.failed);
        seen = true;
        resolve(signal);
      });
    }
  });
}

process.exit(await main());
