import { afterAll, describe, expect, test } from "bun:test";
import { encodeUnixAddress, openSupervisor, readWatchdogMs } from "../../../../shared/native/notify.ts";
import { listenNotify } from "../../../support/notify-listener.ts";
import { requireTools } from "../../../support/requirements.ts";
import { waitFor } from "../../../support/wait.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("notify");
afterAll(() => workspace.remove());

const fail = (why: string) => {
  throw new Error(why);
};

requireTools(["python3"])("openSupervisor()", () => {
  test.each([
    ["a path", () => workspace.path("notify")],
    ["an abstract name", () => `@tidegate-test-${process.pid}-é`],
  ])("tells readiness, watchdog and end to %s", async (_, makeName) => {
    const name = makeName();
    await using manager = await listenNotify(name);
    const supervisor = openSupervisor({ NOTIFY_SOCKET: name, WATCHDOG_USEC: "30000" }, 1, fail);
    expect(manager.messages).toEqual([]);
    supervisor.ready("link plant-7\nREADY=0");
    await waitFor("three beats", 5000, () => manager.messages.length >= 4);
    supervisor.stopping(1500);
    supervisor.close();
    await waitFor("the end", 5000, () => manager.messages.some((text) => text.startsWith("STOPPING")));
    const [first, ...rest] = manager.messages;
    expect(first).toBe("READY=1\nSTATUS=link plant-7 READY=0");
    expect(rest.pop()).toBe("STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000\nSTATUS=stopping");
    expect(new Set(rest)).toEqual(new Set(["WATCHDOG=1"]));
  });

  test("says once why nobody hears, and goes on", () => {
    const faults: string[] = [];
    const name = workspace.path("nobody");
    const supervisor = openSupervisor({ NOTIFY_SOCKET: name }, 1, (why) => faults.push(why));
    supervisor.ready("x");
    supervisor.stopping(0);
    supervisor.close();
    supervisor.stopping(0);
    expect(faults).toEqual([`cannot tell the service manager at ${name}: ENOENT`]);
    openSupervisor({ NOTIFY_SOCKET: "vsock:2:1" }, 1, (why) => faults.push(why)).ready("x");
    expect(faults[1]).toEndWith("its name is neither an absolute path nor an abstract name");
  });

  test("is silent without a service manager", () => {
    const supervisor = openSupervisor({ WATCHDOG_USEC: "1000" }, 1, fail);
    supervisor.ready("x");
    supervisor.close();
  });
});

describe("readWatchdogMs()", () => {
  test("is a third of the time, for this process alone", () => {
    expect(readWatchdogMs({ WATCHDOG_USEC: "30000000" }, 7)).toBe(10_000);
    expect(readWatchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }, 7)).toBe(10_000);
    expect(readWatchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }, 7)).toBeUndefined();
    for (const bad of [undefined, "", "0", "-1", "x", "1e6"])
      expect(readWatchdogMs({ WATCHDOG_USEC: bad }, 7)).toBeUndefined();
  });
});

describe("encodeUnixAddress()", () => {
  test("ends a path with a zero, and starts an abstract name with one", () => {
    expect(encodeUnixAddress("/a")).toEqual(Uint8Array.of(1, 0, 47, 97, 0));
    expect(encodeUnixAddress("@a")).toEqual(Uint8Array.of(1, 0, 0, 97));
  });

  test("refuses what is too long, relative or empty", () => {
    expect(encodeUnixAddress(`/${"a".repeat(106)}`)).toBeInstanceOf(Uint8Array);
    for (const bad of [`/${"a".repeat(107)}`, `@${"a".repeat(108)}`, "a", "@", "/"])
      expect(encodeUnixAddress(bad)).toBeString();
  });
});
