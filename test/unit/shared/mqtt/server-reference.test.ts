// Where a broker sends us instead: what counts as a reference, when it is followed, and when it is not any more.
import { expect, test } from "bun:test";
import { readReference, ServerReference } from "../../../../shared/mqtt/server-reference.ts";

const HOME = { host: "broker.example", port: 8883 };

test("readReference() takes the forms of the specification, the first that can be one", () => {
  const cases: [text: string | undefined, host: string | undefined, port?: number][] = [
    ["myserver.xyz.org", "myserver.xyz.org", 8883],
    ["myserver.xyz.org:1884", "myserver.xyz.org", 1884],
    ["10.10.151.22:1884 [fe80::9610:3eff:fe1c]:1883", "10.10.151.22", 1884],
    ["[fe80::9610:3eff:fe1c]:1883", "fe80::9610:3eff:fe1c", 1883],
    ["mqtt://a.example b.example", "b.example", 8883],
    [" a.example", "a.example", 8883],
    [undefined, undefined],
    ["", undefined],
    ["a.example:0", undefined],
    ["a.example:99999", undefined],
    ["../../etc\nx", undefined],
  ];
  for (const [text, host, port] of cases) {
    const endpoint = readReference(text, HOME.port);
    expect([text, endpoint?.host, endpoint?.port]).toEqual([text, host, port]);
  }
});

test("ServerReference is followed until it fails, and then leads home", () => {
  const reference = new ServerReference(HOME);
  reference.note(0x9d, "other.example");
  expect(reference.noteEnd()).toBe("other.example:8883");
  expect(reference.endpoint).toEqual({ host: "other.example", port: 8883 });
  expect(reference.noteEnd()).toBeUndefined();
  expect(reference.endpoint).toBeUndefined();
});

test("ServerReference counts with these two codes only", () => {
  const reference = new ServerReference(HOME);
  for (const code of [undefined, 0, 0x87, 0x88, 0x8b]) reference.note(code, "other.example");
  expect([reference.noteEnd(), reference.endpoint]).toEqual([undefined, undefined]);
  reference.note(0x9c, "other.example");
  expect(reference.noteEnd()).toBe("other.example:8883");
});

test("ServerReference is not sent around: it goes home after three, unless a connection has lasted", () => {
  const reference = new ServerReference(HOME);
  for (let hop = 1; hop <= 3; hop++) {
    reference.note(0x9c, `hop-${hop}.example`);
    expect(reference.noteEnd()).toBe(`hop-${hop}.example:8883`);
  }
  reference.note(0x9c, "hop-4.example");
  expect([reference.noteEnd(), reference.endpoint]).toEqual([undefined, undefined]);
  // From home on it may be sent again.
  reference.noteEnd();
  reference.note(0x9c, "hop-5.example");
  expect(reference.noteEnd()).toBe("hop-5.example:8883");
  reference.noteStable();
  for (let hop = 6; hop <= 8; hop++) {
    reference.note(0x9c, `hop-${hop}.example`);
    expect(reference.noteEnd()).toBe(`hop-${hop}.example:8883`);
  }
});
