// tidegate-recv: the program. Command line, signals and exit status; the only file of the agent that touches `process`.
import { randomBytes } from "node:crypto";
import { fetchStatus } from "../../shared/admin/client.ts";
import { startAdmin } from "../../shared/admin/server.ts";
import { createAnchoredClock, describeStep, holdForTurn } from "../../shared/anchored-clock.ts";
import { BUILD_INFO } from "../../shared/build-info.ts";
import { CONFIG_OPTION, type CommandTable, KEYGEN_COMMAND } from "../../shared/cli/command.ts";
import { EXIT, type ExitStatus } from "../../shared/cli/exit.ts";
import { generateKey } from "../../shared/cli/keygen.ts";
import { type CommandValues, parseCommandLine } from "../../shared/cli/parse.ts";
import { formatFaults } from "../../shared/config/loaded.ts";
import { type Finding, formatFinding, formatVerdict } from "../../shared/doctor/finding.ts";
import { deriveKeyId } from "../../shared/framing/keys.ts";
import { inspectPath } from "../../shared/inspect/inspect.ts";
import { INSPECT_COMMAND } from "../../shared/inspect/options.ts";
import { pump } from "../../shared/inspect/pump.ts";
import { createLog, type Logger } from "../../shared/log.ts";
import { openSupervisor } from "../../shared/native/notify.ts";
import { LogRefusal } from "../../shared/store/schema.ts";
import { loadRecvConfig, type RecvConfig } from "./config.ts";
import { runDeadLetters } from "./dead-letters-command.ts";
import { examine } from "./doctor/doctor.ts";
import { formatGaps, listGaps } from "./gaps-command.ts";
import { profileTypes, writeProfile } from "./init-command.ts";
import { prepareInspect } from "./inspect-command.ts";
import { formatPolicies } from "./policy-command.ts";
import { RecvAgent } from "./run.ts";
import { createMetrics, judgeReadiness, makeStatus, type RecvStatus } from "./status.ts";
import { formatRecvStatus } from "./status-text.ts";

const { version, commit, date } = BUILD_INFO;

/** What an end in good order may take beyond the grace for messages: disconnecting, closing the disk's files. */
const STOP_MARGIN_MS = 10_000;

const TABLE: CommandTable = {
  program: "tidegate-recv",
  summary: "Reads a one-way link and publishes what comes to brokers and clouds.",
  version: `tidegate-recv ${version} (${commit}, ${date})`,
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
        "Try what the configuration names: directories, paths, targets; says what to do about what fails",
      options: [CONFIG_OPTION],
    },
    {
      name: "init",
      summary: "Print a commented profile of a type of target, to be filled in and put into targets.d",
      options: [
        {
          name: "type",
          value: "TYPE",
          summary: `One of ${profileTypes().join(", ")}`,
          required: true,
          positional: true,
        },
      ],
    },
    {
      name: "policy",
      summary: "Print what the cloud or broker of each target has to allow, and no more",
      options: [CONFIG_OPTION, { name: "target", value: "NAME", summary: "Only that of this target" }],
    },
    KEYGEN_COMMAND,
    {
      name: "status",
      summary: "Ask the running agent how it is",
      options: [CONFIG_OPTION, { name: "json", summary: "Print the status as JSON" }],
    },
    {
      name: "gaps",
      summary: "List what was lost on the link and may still be sent again",
      options: [CONFIG_OPTION, { name: "json", summary: "Print the gaps as JSON" }],
    },
    {
      name: "dead-letters",
      summary: "What targets refused for good: list, show, requeue (publish again) or export it",
      options: [
        {
          name: "action",
          value: "list|show|requeue|export",
          summary: "What to do with them",
          required: true,
          positional: true,
        },
        CONFIG_OPTION,
        { name: "id", value: "N[,N]", summary: "Only these" },
        { name: "target", value: "NAME", summary: "Only those of this target" },
        { name: "reason", value: "REASON", summary: "Only those lost for this reason, such as refused" },
        { name: "json", summary: "Print them as JSON (list and show)" },
        { name: "out", value: "FILE", summary: "A new file to export to, JSON lines with base64 payloads" },
      ],
    },
    INSPECT_COMMAND,
  ],
};

/** To a pipe, what is printed goes later than print() returns; an exit before would cut it off. */
let printed: Promise<void> = Promise.resolve();

/** On SIGHUP: the link keys are read again, so that they can be rotated while messages flow. */
function reloadKeys(file: string, running: RecvConfig, agent: RecvAgent, log: Logger): void {
  const loaded = loadRecvConfig(file, process.env, { expiredCertificates: "allow" });
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
}

async function runAgent(file: string, config: RecvConfig): Promise<ExitStatus> {
  const log = createLog({ agent: "recv", level: config.log.level, file: config.log.file });
  log.info({ version, commit, link: config.link.id, keyIds: showKeyIds(config) }, "tidegate-recv starts");
  const anchored = createAnchoredClock(
    Date.now,
    () => performance.now(),
    (deviationMs) => log.warn({ deviationMs }, describeStep(deviationMs)),
  );
  const clock = holdForTurn(anchored);
  try {
    const agent = await RecvAgent.start(config, {
      log,
      clock,
      wall: Date.now,
      steady: () => performance.now(),
      random: Math.random,
    });
    const admin =
      config.admin &&
      startAdmin({
        ...config.admin.address,
        token: config.admin.token?.reveal(),
        metrics: createMetrics(() => agent.figures()),
        status: () => makeStatus(agent.figures(), clock()),
        readiness: () => judgeReadiness(agent.figures()),
      });
    if (admin) log.info({ address: admin.address }, "admin listening");
    process.on("SIGHUP", () => reloadKeys(file, config, agent, log));
    const supervisor = openSupervisor(process.env, process.pid, (why) => log.warn(why));
    supervisor.ready(`link ${config.link.id}`);
    const signal = await waitForSignal();
    supervisor.stopping(config.stop.graceSeconds * 1000 + STOP_MARGIN_MS);
    log.info(
      { signal, graceSeconds: config.stop.graceSeconds },
      "stopping: taking no more in, delivering what is held",
    );
    const idle = await agent.stop(config.stop.graceSeconds * 1000);
    await admin?.stop();
    supervisor.close();
    log.info(
      { idle },
      idle ? "stopped: all was delivered" : "stopped: what was not delivered stays in the spool",
    );
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
  if (line.name === "init") return init(line.values.type ?? "");
  if (line.name === "inspect") return inspect(line.values);
  const isRun = line.name === "run";
  const loaded = loadRecvConfig(line.values.config ?? "", process.env, {
    expiredCertificates: isRun ? "allow" : "refuse",
  });
  if (!loaded.ok) {
    process.stderr.write(formatFaults(loaded.faults));
    return EXIT.config;
  }
  if (isRun) return runAgent(line.values.config ?? "", loaded.config);
  if (line.name === "check") return check(loaded.config);
  if (line.name === "doctor") return doctor(loaded.config);
  if (line.name === "policy") return showPolicies(loaded.config, line.values);
  if (line.name === "gaps") return showGaps(loaded.config, line.values);
  if (line.name === "dead-letters") return handleDeadLetters(loaded.config, line.values);
  return showStatus(loaded.config, line.values);
}

function check(config: RecvConfig): ExitStatus {
  const { link, profiles } = config;
  return print(
    `configuration is fine: link ${link.id}, ${describeSealing(config)}, ${count(link.paths.length, "path")}, ${count(profiles.length, "target")}\n`,
  );
}

async function doctor(config: RecvConfig): Promise<ExitStatus> {
  const findings: Finding[] = [];
  for await (const finding of examine(config)) {
    findings.push(finding);
    print(formatFinding(finding));
  }
  print(formatVerdict(findings));
  return findings.some(({ level }) => level === "fail") ? EXIT.failed : EXIT.ok;
}

function init(type: string): ExitStatus {
  const text = writeProfile(type);
  if (text !== undefined) return print(text);
  process.stderr.write(
    `tidegate-recv init: there is no type ${JSON.stringify(type)}, must be one of ${profileTypes().join(", ")}\n`,
  );
  return EXIT.usage;
}

function showPolicies({ profiles }: RecvConfig, { target }: CommandValues): ExitStatus {
  const chosen = profiles.filter(({ name }) => target === undefined || name === target);
  if (chosen.length > 0) return print(formatPolicies(chosen));
  const names = profiles.map(({ name }) => name).join(", ");
  process.stderr.write(`tidegate-recv policy: there is no target ${JSON.stringify(target)}, only ${names}\n`);
  return EXIT.usage;
}

function showGaps(config: RecvConfig, values: CommandValues): ExitStatus {
  try {
    const gaps = listGaps(config.spool.directory);
    return print(values.json ? `${JSON.stringify(gaps, null, 2)}\n` : formatGaps(gaps));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT.failed;
  }
}

async function handleDeadLetters(config: RecvConfig, values: CommandValues): Promise<ExitStatus> {
  const name = randomBytes(8).toString("hex");
  const result = await runDeadLetters(config.deadLetters.directory, values, name);
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

async function showStatus(config: RecvConfig, values: CommandValues): Promise<ExitStatus> {
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
  return print(formatRecvStatus(result.status as RecvStatus));
}

function showKeyIds(config: RecvConfig): string[] {
  return config.link.keys.map((key) => showKeyId(key.reveal()));
}

function describeSealing(config: RecvConfig): string {
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
  printed = new Promise((resolve) => process.stdout.write(text, () => resolve()));
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

const status = await main();
await printed;
process.exit(status);
