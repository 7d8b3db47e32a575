import { expect, test } from "bun:test";
import { DeadLetters } from "../../../../agents/recv/dead-letters.ts";
import { changeMessage, type Message } from "../../../../shared/message.ts";
import { openBlockLog, openBlockLogReadOnly } from "../../../../shared/store/open.ts";
import { Workspace } from "../../../support/workspace.ts";

function letter(topic: string, payloadBytes = 10) {
  const payload = Buffer.alloc(payloadBytes, topic);
  const properties = { contentType: "text/plain", userProperties: [["k", "v"]] as const };
  const message = { topic, payload, qos: 1, retain: true, properties, acceptedMs: 1000 } as const;
  return {
    target: "hq",
    reason: "refused",
    detail: "not authorized (0x87)",
    atMs: 5000,
    clockDifferenceMs: -7,
    message,
  };
}

function open(bytesMax = 1e6): DeadLetters {
  return new DeadLetters(openBlockLog("", "", "memory"), bytesMax);
}

const topics = (letters: DeadLetters) => [...letters.list()].map(({ message }) => message.topic);

test("DeadLetters.find() gives back what add() took, whole", () => {
  const letters = open();
  letters.add([letter("a"), letter("b")]);
  expect(letters.count).toBe(2);
  const { message, ...rest } = letter("b");
  expect(letters.find(2)).toMatchObject({ id: 2, ...rest });
  const found = letters.find(2)?.message as Message;
  expect(changeMessage(found, { payload: Buffer.from(found.payload) })).toEqual(message);
  expect(letters.find(3)).toBeUndefined();
});

test("DeadLetters.add() stays within its bytes: the oldest go, and the count is right", () => {
  const letters = open(5000);
  let dropped = 0;
  for (let index = 0; index < 50; index++) dropped += letters.add([letter(`t${index}`, 900)]);
  expect(letters.bytes).toBeLessThanOrEqual(5000);
  expect(letters.count).toBe(50 - dropped);
  expect(letters.count).toBeGreaterThan(2);
  expect(topics(letters)).toEqual(Array.from({ length: letters.count }, (_, at) => `t${dropped + at}`));
});

test("DeadLetters.add() keeps a letter that is larger than all the space, alone", () => {
  const letters = open(1000);
  letters.add([letter("a")]);
  letters.add([letter("big", 2000)]);
  expect(topics(letters)).toEqual(["big"]);
});

test("DeadLetters.remove() frees the space of one in the middle, and takes what is not there", () => {
  const letters = open();
  letters.add([letter("a", 5000), letter("b", 5000), letter("c", 5000)]);
  const before = letters.bytes;
  letters.remove([2, 2, 99]);
  expect(letters.bytes).toBeLessThan(before - 5000);
  expect([letters.count, topics(letters)]).toEqual([2, ["a", "c"]]);
});

test("DeadLetters.removeAfter() forgets the newest, and their ids are not used again", () => {
  const letters = open();
  letters.add([letter("a"), letter("b"), letter("c")]);
  letters.removeAfter(1);
  letters.removeAfter(7);
  letters.add([letter("d")]);
  expect([...letters.list()].map(({ id, message }) => [id, message.topic])).toEqual([
    [1, "a"],
    [4, "d"],
  ]);
  expect(letters.count).toBe(2);
});

test("DeadLetters can be read by another process while the agent writes, and counted after a restart", () => {
  using workspace = new Workspace("dead-letters");
  const log = openBlockLog(workspace.directory, "dead-letters.db", "os");
  const letters = new DeadLetters(log, 1e6);
  letters.add([letter("a"), letter("b")]);
  const reader = new DeadLetters(openBlockLogReadOnly(workspace.directory, "dead-letters.db"), 0);
  letters.add([letter("c")]);
  expect(topics(reader)).toEqual(["a", "b", "c"]);
  reader.close();
  letters.remove([1]);
  letters.close();
  const again = new DeadLetters(openBlockLog(workspace.directory, "dead-letters.db", "os"), 1e6);
  expect([again.count, topics(again)]).toEqual([2, ["b", "c"]]);
  again.close();
});

test("DeadLetters.list() leaves out what is not a letter", () => {
  const log = openBlockLog("", "", "memory");
  const row = { stream: 0, first: 0, count: 1, skip: 0, timeMs: 0, clockDifferenceMs: 0 };
  log.write(() => {
    for (const hex of ["", "0000", "ffffffff", "00000002", "000000027b7d", "000000027b7d00"])
      log.append({ ...row, content: Buffer.from(hex, "hex") });
  });
  const letters = new DeadLetters(log, 1e6);
  letters.add([letter("a")]);
  expect(topics(letters)).toEqual(["a"]);
});
