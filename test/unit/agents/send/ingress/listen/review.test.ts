// Clients that are connected when what let them in changes: users, passwords, access rules.
import { afterAll, expect, test } from "bun:test";
import type { IConnectPacket } from "mqtt-packet";
import { readUsers } from "../../../../../../agents/send/ingress/listen/users.ts";
import { setPassword } from "../../../../../../agents/send/passwd-command.ts";
import { Workspace } from "../../../../../support/workspace.ts";
import { Lab } from "./lab.ts";

const workspace = new Workspace("review");
afterAll(() => workspace.remove());
const file = workspace.path("users");
const set = (user: string, password: string, more = {}) =>
  setPassword({ file, user, algorithm: "bcrypt", ...more }, password);

async function logIn(lab: Lab, username: string, password: string, more: Partial<IConnectPacket> = {}) {
  const dialled = lab.dial();
  dialled.connect({ clientId: username, username, password: Buffer.from(password), ...more });
  while (dialled.wire.isResting && !dialled.wire.isEnded)
    await new Promise((resolve) => setImmediate(resolve));
  await lab.commit();
  return dialled;
}

async function openLab() {
  await set("anna", "one");
  await set("ben", "two");
  await set("carl", "three");
  const read = readUsers(file);
  return new Lab({ anonymous: true, usersFile: file, users: read.ok ? read.users : new Map() });
}

test("who was removed or has another password is told so and cut off; the others are not touched", async () => {
  const lab = await openLab();
  const anna = await logIn(lab, "anna", "one");
  const ben = await logIn(lab, "ben", "two", { protocolVersion: 4 });
  const carl = await logIn(lab, "carl", "three");
  const nobody = await lab.join({ clientId: "nobody" });
  const certified = lab.dial("10.0.0.7", "anna");
  certified.connect({ clientId: "certified" });
  await lab.commit();
  const all = [anna, ben, carl, nobody, certified];
  expect(all.flatMap((dialled) => dialled.read())).toEqual(Array(5).fill("connack 0"));
  await set("anna", "", { delete: "true" });
  await set("ben", "changed");
  lab.pass(2000);
  expect(all.map((dialled) => dialled.read())).toEqual([["disconnect 87"], [], [], [], []]);
  expect(all.map((dialled) => dialled.wire.isEnded)).toEqual([true, true, false, false, false]);
  expect(lab.hub.refusals.get("user-changed")).toBe(2);
  expect((await logIn(lab, "anna", "one")).read()).toEqual(["connack 86"]);
  expect((await logIn(lab, "ben", "changed")).read()).toEqual(["connack 0"]);
});

test("a user that changes while its password is checked is not let in with the old one", async () => {
  const lab = await openLab();
  const dialled = lab.dial();
  dialled.connect({ clientId: "anna", username: "anna", password: Buffer.from("one") });
  await set("anna", "", { delete: "true" });
  lab.pass(2000);
  while (!dialled.wire.isEnded) await new Promise((resolve) => setImmediate(resolve));
  expect(dialled.read()).toEqual(["connack 86"]);
});

const RULE = { users: undefined, clientIds: undefined };

test("a client whose access rules are others than before is cut off, and a will that they forbid with it", async () => {
  const lab = new Lab({ access: [{ ...RULE, publish: ["plant/#"] }] });
  const will = { topic: "plant/gone", payload: Buffer.from("x"), qos: 0 as const, retain: false };
  const one = await lab.join({ clientId: "one", will });
  const two = await lab.join({ clientId: "two", will: { ...will, topic: "plant/other" } });
  for (const dialled of [one, two]) dialled.read();
  lab.hub.setAccess([{ ...RULE, publish: ["plant/#"] }]);
  await lab.commit();
  expect([one, two].map((dialled) => dialled.wire.isEnded)).toEqual([false, false]);
  lab.hub.setAccess([{ ...RULE, publish: ["plant/other"] }]);
  await lab.commit();
  expect([one.read(), two.read()]).toEqual([["disconnect 98"], ["disconnect 98"]]);
  expect(lab.keeper.kept.map(({ topic }) => topic)).toEqual(["plant/other"]);
  expect([...lab.keeper.notes.keys()]).toEqual([]);
  expect(lab.hub.refusals.get("access-changed")).toBe(2);
  const again = await lab.join({ clientId: "one" });
  again.read();
  again.send({
    cmd: "publish",
    topic: "plant/a",
    payload: "x",
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
  });
  await lab.commit();
  expect(again.read()).toEqual(["puback 1 87"]);
});
