import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { loadSendConfig } from "../../../../agents/send/config.ts";
import { showSendPath } from "../../../../agents/send/path-config.ts";
import { formatFault } from "../../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../../shared/config/link-key.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("send-paths");
beforeAll(() => {
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
});
afterAll(() => workspace.remove());

/** Loads a send.toml whose paths are these tables. */
function load(...paths: readonly string[]) {
  const tables = paths.map((path) => `[[link.path]]\n${path}\n`).join("");
  const file = workspace.write(
    "send.toml",
    `[link]
id = "plant-7"
key_file = "link.key"
${tables}[journal]
directory = "journal"
[[source]]
name = "a"
type = "subscribe"
url = "mqtt://127.0.0.1"
topics = ["plant/#"]
`,
  );
  return loadSendConfig(file, {});
}

function paths(...tables: readonly string[]) {
  const loaded = load(...tables);
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFault).join("\n"));
  return loaded.config.link.paths;
}

function faults(...tables: readonly string[]): string[] {
  const loaded = load(...tables);
  if (loaded.ok) return [];
  return loaded.faults.map((fault) => formatFault(fault).replaceAll(`${workspace.directory}/`, ""));
}

const BASE = { rateMbitPerSecond: 100, queueBytesMax: 4_194_304, bestEffort: false };

describe("loadSendConfig()", () => {
  test("fills in the defaults of every type of path", () => {
    expect(
      paths(
        'type = "udp"\nendpoint = "[fe80::2%eth1]:1"',
        'type = "tcp"\nendpoint = "relay.example:14550"',
        'type = "pipe"\ncommand = ["vendor-tool", "--x"]',
        'type = "pipe"\ndevice = "ttyS0"\nbaud = 115200',
        'type = "directory"\ndirectory = "outbox"',
      ),
    ).toEqual([
      {
        ...BASE,
        name: "path-1",
        type: "udp",
        endpoint: { host: "fe80::2%eth1", port: 1 },
        interface: undefined,
        localAddress: undefined,
        multicastTtl: 1,
        multicastLoop: false,
      },
      {
        ...BASE,
        name: "path-2",
        type: "tcp",
        endpoint: { host: "relay.example", port: 14_550 },
        interface: undefined,
        localAddress: undefined,
      },
      { ...BASE, name: "path-3", type: "pipe", end: { kind: "command", command: ["vendor-tool", "--x"] } },
      {
        ...BASE,
        name: "path-4",
        type: "pipe",
        end: { kind: "device", device: workspace.path("ttyS0"), baud: 115_200 },
      },
      {
        ...BASE,
        name: "path-5",
        type: "directory",
        directory: workspace.path("outbox"),
        fileBytesMax: 1_048_576,
        fileSeconds: 1,
        outboxFilesMax: 10_000,
        outboxBytesMax: 1_073_741_824,
      },
    ]);
  });

  test("takes a program with a slash as a path beside the file, and its arguments as they are", () => {
    const [path] = paths('type = "pipe"\ncommand = ["./tool", "./x", "$HOME"]');
    expect(path).toMatchObject({ end: { command: [workspace.path("tool"), "./x", "$HOME"] } });
  });

  test("refuses a pipe's end that is both or neither, and a speed without a line", () => {
    expect(faults('type = "pipe"')).toEqual([
      'send.toml:5:1: link.path[0].type: is "pipe", and neither command nor device is given; must have one of them',
    ]);
    expect(faults('type = "pipe"\ncommand = ["x"]\ndevice = "y"')).toEqual([
      "send.toml:7:1: link.path[0].device: is given beside command; must be only one of them",
    ]);
    expect(faults('type = "pipe"\ncommand = ["x"]\nbaud = 9600')).toEqual([
      "send.toml:7:1: link.path[0].baud: is given, and there is no device; must be left out",
    ]);
    expect(faults('type = "pipe"\ndevice = "x"\nbaud = 9601')[0]).toStartWith(
      "send.toml:7:1: link.path[0].baud: is 9601; must be one of 1200, 2400",
    );
    expect(faults('type = "pipe"\ncommand = []')[0]).toContain("must be a list of 1 to 64 texts");
  });

  test("refuses an interface, an address and a family that cannot be", () => {
    const udp = 'type = "udp"\nendpoint = "10.0.0.1:1"';
    expect(faults(`${udp}\ninterface = "a-name-of-sixteen"`)).toEqual([
      'send.toml:7:1: link.path[0].interface: "a-name-of-sixteen" is none; must be the name of a network interface, such as "eth1"',
    ]);
    expect(faults(`${udp}\nlocal_address = "here"`)).toEqual([
      'send.toml:7:1: link.path[0].local_address: "here" is no address; must be an address of this machine, such as "10.10.0.1" or "fd00::1"',
    ]);
    expect(faults(`${udp}\nlocal_address = "::1"`)).toEqual([
      "send.toml:7:1: link.path[0].local_address: is ::1, of another family than the endpoint; must be an IPv4 address",
    ]);
  });

  test("refuses keys of another type, names used twice, and one outbox for two paths", () => {
    expect(faults('type = "tcp"\nendpoint = "a:1"\nbaud = 9600')[0]).toContain("link.path[0].baud");
    const outbox = 'type = "directory"\ndirectory = "out"';
    expect(faults(`${outbox}\nname = "x"`, `type = "directory"\ndirectory = "./out"\nname = "x"`)).toEqual([
      `send.toml:10:1: link.path[1].directory: is "out", as in line 6 already; must be unique`,
      'send.toml:11:1: link.path[1].name: is "x", as in line 7 already; must be unique',
    ]);
    expect(faults(`${outbox}\nfile_bytes_max = 4194304\noutbox_bytes_max = 2097152`)).toEqual([
      "send.toml:7:1: link.path[0].file_bytes_max: is 4194304, over link.path[0].outbox_bytes_max; must be at most 2097152",
    ]);
  });
});

test("showSendPath() names where a path leads", () => {
  const shown = paths(
    'type = "udp"\nendpoint = "[fd00::2]:5"',
    'type = "pipe"\ncommand = ["tool", "x"]',
    'type = "directory"\ndirectory = "/out"',
  ).map(showSendPath);
  expect(shown).toEqual(["[fd00::2]:5", "tool", "/out"]);
});
