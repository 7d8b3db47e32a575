// Tests of certificates.ts: retained copies go few at a time, the newest of each topic, and not again where they are not wanted.
import { expect, test } from "bun:test";
import { Certificates } from "../../../../../../agents/recv/targets/sparkplug/certificates.ts";
import type { EdgeSession, Outgoing } from "../../../../../../agents/recv/targets/sparkplug/session.ts";

function begin(isWanted = true) {
  const sent: Outgoing[] = [];
  const refused: string[] = [];
  const session = { isOnline: true, publish: (outgoing: Outgoing) => sent.push(outgoing) };
  const certificates = new Certificates(
    isWanted,
    () => session as unknown as EdgeSession,
    (why) => refused.push(why),
  );
  const put = (topic: string, value: number) => certificates.put(topic, Uint8Array.of(value));
  return { sent, refused, session, certificates, put };
}

test("copies are retained, acknowledged, eight at a time, and of a topic the newest", () => {
  const { sent, certificates, put } = begin();
  for (let index = 0; index < 20; index++) put(`spBv1.0/g/NBIRTH/n${index}`, 1);
  put("spBv1.0/g/NBIRTH/n19", 2);
  expect(sent).toHaveLength(8);
  expect(sent[0]).toMatchObject({
    topic: "$sparkplug/certificates/spBv1.0/g/NBIRTH/n0",
    qos: 1,
    retain: true,
  });
  for (let index = 0; index < 20; index++) sent[index]?.done?.();
  expect(sent).toHaveLength(20);
  expect(sent.at(-1)).toMatchObject({
    topic: "$sparkplug/certificates/spBv1.0/g/NBIRTH/n19",
    payload: Uint8Array.of(2),
  });
  expect(certificates.published).toBe(20);
});

test("a broker that refuses one is not asked again; nor one that ends three connections over them", () => {
  const refusing = begin();
  refusing.put("a", 1);
  refusing.sent[0]?.done?.("not authorized");
  refusing.put("b", 1);
  expect([refusing.sent.length, refusing.refused]).toEqual([1, ["not authorized"]]);
  const ending = begin();
  for (let time = 0; time < 3; time++) {
    ending.put(`t${time}`, 1);
    ending.certificates.noteLost();
  }
  ending.put("t4", 1);
  expect([ending.sent.length, ending.refused]).toEqual([3, ["the broker ends the connection over them"]]);
});

test("while not connected they wait, and where they are not wanted nothing is kept", () => {
  const waiting = begin();
  waiting.session.isOnline = false;
  waiting.put("a", 1);
  expect(waiting.sent).toEqual([]);
  waiting.session.isOnline = true;
  waiting.certificates.pump();
  expect(waiting.sent).toHaveLength(1);
  const unwanted = begin(false);
  unwanted.put("a", 1);
  unwanted.certificates.pump();
  expect(unwanted.sent).toEqual([]);
});
