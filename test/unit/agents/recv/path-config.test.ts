import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { loadRecvConfig } from "../../../../agents/recv/config.ts";
import { formatFault } from "../../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../../shared/config/link-key.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("recv-paths");
beforeAll(() => {
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
  mkdirSync(workspace.path("targets.d"));
  workspace.write("targets.d/hq.toml", 'type = "mqtt"\nurl = "mqtt://127.0.0.1"\nclient_id = "x"\n');
});
afterAll(() => workspace.remove());

/** Loads a recv.toml whose paths are these tables. */
function load(...paths: readonly string[]) {
  const tables = paths.map((path) => `[[link.path]]\n${path}\n`).join("");
  const head = 'targets = "targets.d"\n[link]\nid = "plant-7"\nkey_file = "link.key"\n';
  return loadRecvConfig(workspace.write("recv.toml", `${head}${tables}[spool]\ndirectory = "spool"\n`), {});
}

function faults(...tables: readonly string[]): string[] {
  const loaded = load(...tables);
  if (loaded.ok) return [];
  return loaded.faults.map((fault) => formatFault(fault).replaceAll(`${workspace.directory}/`, ""));
}

describe("loadRecvConfig()", () => {
  test("fills in the defaults of every type of path", () => {
    const loaded = load(
      'type = "udp"\naddress = "239.7.7.7:1"\ninterface = "eth1"',
      'type = "tcp"\naddress = "127.0.0.1:1"',
      'type = "pipe"\ndevice = "/dev/ttyS0"',
      'type = "directory"\ndirectory = "inbox"',
      'type = "directory"\ndirectory = "other"\nafter_pickup = "move"\nmove_directory = "done"',
    );
    if (!loaded.ok) throw new Error(loaded.faults.map(formatFault).join("\n"));
    const pickup = { pollMs: 1000, settleMs: 5000, fileBytesMax: 134_217_728, silentAfterMs: 120_000 };
    expect(loaded.config.link.paths).toEqual([
      {
        name: "path-1",
        type: "udp",
        address: { host: "239.7.7.7", port: 1 },
        interface: "eth1",
        receiveBufferBytes: 8_388_608,
        silentAfterMs: 5000,
      },
      {
        name: "path-2",
        type: "tcp",
        address: { host: "127.0.0.1", port: 1 },
        connectionsMax: 8,
        idleMs: 60_000,
        silentAfterMs: 5000,
      },
      {
        name: "path-3",
        type: "pipe",
        end: { kind: "device", device: "/dev/ttyS0", baud: undefined },
        silentAfterMs: 5000,
      },
      {
        ...pickup,
        name: "path-4",
        type: "directory",
        directory: workspace.path("inbox"),
        moveTo: undefined,
      },
      {
        ...pickup,
        name: "path-5",
        type: "directory",
        directory: workspace.path("other"),
        moveTo: workspace.path("done"),
      },
    ]);
  });

  test("lets two types have one port, and no two paths of a type read the same", () => {
    const at = (type: string) => `type = "${type}"\naddress = "0.0.0.0:14550"`;
    expect(faults(at("udp"), at("tcp"))).toEqual([]);
    expect(faults(at("tcp"), at("tcp"))).toEqual([
      'recv.toml:10:1: link.path[1].address: is "0.0.0.0:14550", as in line 7 already; must be unique',
    ]);
    const device = 'type = "pipe"\ndevice = "/dev/ttyS0"';
    expect(faults(device, device)[0]).toContain("link.path[1].device");
    const inbox = 'type = "directory"\ndirectory = "inbox"';
    expect(faults(inbox, inbox)[0]).toContain("link.path[1].directory");
  });

  test("refuses a pickup that leads nowhere, or back", () => {
    const inbox = 'type = "directory"\ndirectory = "inbox"';
    expect(faults(`${inbox}\nafter_pickup = "move"`)).toEqual([
      'recv.toml:8:1: link.path[0].after_pickup: is "move", and there is no move_directory; must have one',
    ]);
    expect(faults(`${inbox}\nmove_directory = "done"`)).toEqual([
      'recv.toml:8:1: link.path[0].move_directory: is given, and after_pickup is "delete"; must be left out, or after_pickup = "move"',
    ]);
    expect(faults(`${inbox}\nafter_pickup = "move"\nmove_directory = "./inbox"`)).toEqual([
      "recv.toml:9:1: link.path[0].move_directory: is the inbox itself; must be another directory",
    ]);
  });
});
