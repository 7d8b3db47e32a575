import { afterAll, expect, test } from "bun:test";
import { chmodSync, readFileSync, statSync } from "node:fs";
import { readUsers, UserDesk } from "../../../../../../agents/send/ingress/listen/users.ts";
import { checkPasswd, setPassword } from "../../../../../../agents/send/passwd-command.ts";
import { Workspace } from "../../../../../support/workspace.ts";
import { Lab } from "./lab.ts";

const workspace = new Workspace("users");
afterAll(() => workspace.remove());
const file = workspace.path("users");
const set = (user: string, password: string, more = {}) => setPassword({ file, user, ...more }, password);

test("setPassword() makes a file that readUsers() takes, for its owner alone, with either algorithm", async () => {
  expect((await set("anna", "geheim")).stdout).toContain("user anna is set");
  await set("ben", "other", { algorithm: "bcrypt" });
  await set("anna", "changed");
  const read = readUsers(file);
  expect(read.ok && [...read.users.keys()]).toEqual(["anna", "ben"]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, "utf8")).not.toMatch(/geheim|other|changed/);
  const desk = new UserDesk(file, read.ok ? read.users : new Map(), () => {});
  const judge = async (name: string, password: string) =>
    (await desk.judge(name, Buffer.from(password), 0)).verdict;
  expect(await judge("anna", "changed")).toBe("right");
  expect(await judge("anna", "changed")).toBe("right");
  expect(await judge("anna", "geheim")).toBe("wrong");
  expect(await judge("ben", "other")).toBe("right");
  expect(await judge("ben", "")).toBe("wrong");
  expect(await judge("nobody", "other")).toBe("wrong");
});

test("UserDesk reads the file again when it has changed, and keeps what it had when it cannot", async () => {
  await set("carl", "one");
  const read = readUsers(file);
  const problems: (string | undefined)[] = [];
  const desk = new UserDesk(file, read.ok ? read.users : new Map(), (why) => problems.push(why));
  expect((await desk.judge("carl", Buffer.from("one"), 0)).verdict).toBe("right");
  await set("carl", "two");
  expect((await desk.judge("carl", Buffer.from("one"), 2000)).verdict).toBe("wrong");
  expect((await desk.judge("carl", Buffer.from("two"), 2000)).verdict).toBe("right");
  chmodSync(file, 0o644);
  workspace.write("users", "carl:plain\n");
  expect((await desk.judge("carl", Buffer.from("two"), 4000)).verdict).toBe("right");
  expect(problems.at(-1)).toContain(file);
  workspace.write("users", "");
  chmodSync(file, 0o600);
});

test.each([
  ["no colon", "anna", "has no name before a colon"],
  ["no hash", "anna:geheim", "has no argon2 or bcrypt hash"],
  ["a hash of another kind", "anna:$6$abc$def", "has no argon2 or bcrypt hash"],
])("readUsers() refuses a line with %s and tells which", (_, line, problem) => {
  const path = workspace.write("bad", `# users\n\n${line}\n`);
  chmodSync(path, 0o600);
  const read = readUsers(path);
  expect(read.ok ? "" : read.problem).toContain(`line 3 ${problem}`);
});

test("checkPasswd() refuses names that a line cannot hold, and setPassword() passwords that bcrypt would cut", async () => {
  for (const user of ["a:b", "a\nb", "#a"]) expect(checkPasswd({ user })).toContain("--user");
  expect(checkPasswd({ user: "a", algorithm: "md5" })).toContain("argon2id or bcrypt");
  const path = workspace.path("fresh");
  expect((await setPassword({ file: path, user: "a" }, "")).stderr).toContain("has 0 bytes");
  expect((await setPassword({ file: path, user: "a" }, "x".repeat(73))).stderr).toContain("73 bytes");
  expect((await setPassword({ file: path, user: "a", delete: "true" }, "")).stderr).toContain(
    "does not exist",
  );
});

test("setPassword() removes a user, and refuses to remove one that is not there", async () => {
  const path = workspace.path("removal");
  await setPassword({ file: path, user: "a" }, "x");
  expect((await setPassword({ file: path, user: "b", delete: "true" }, "")).status).toBe(1);
  expect((await setPassword({ file: path, user: "a", delete: "true" }, "")).status).toBe(0);
  const read = readUsers(path);
  expect(read.ok && read.users.size).toBe(0);
});

test("a client waits for its password to be checked, and what it sent meanwhile is taken after it", async () => {
  const path = workspace.path("clients");
  await setPassword({ file: path, user: "anna", algorithm: "bcrypt" }, "right");
  const read = readUsers(path);
  const lab = new Lab({ anonymous: false, usersFile: path, users: read.ok ? read.users : new Map() });
  const dialled = lab.dial();
  dialled.connect({ username: "anna", password: Buffer.from("right") });
  dialled.send({ cmd: "publish", topic: "a", payload: "x", qos: 1, messageId: 4, dup: false, retain: false });
  dialled.send({ cmd: "pingreq" });
  expect(dialled.wire.isResting).toBe(true);
  while (dialled.wire.isResting) await new Promise((resolve) => setImmediate(resolve));
  await lab.commit();
  expect(dialled.read()).toEqual(["connack 0", "pingresp", "puback 4 0"]);
  const wrong = lab.dial();
  wrong.connect({ username: "anna", password: Buffer.from("wrong") });
  while (!wrong.wire.isEnded) await new Promise((resolve) => setImmediate(resolve));
  expect(wrong.read()).toEqual(["connack 86"]);
  const gone = lab.dial();
  gone.connect({ username: "anna", password: Buffer.from("wrong") });
  gone.client.lost();
  expect(lab.hub.clients.size).toBe(1);
});

test("wrong passwords shut an address out, in whatever version", async () => {
  const path = workspace.path("guessed");
  await setPassword({ file: path, user: "anna", algorithm: "bcrypt" }, "right");
  const read = readUsers(path);
  const lab = new Lab({ usersFile: path, users: read.ok ? read.users : new Map() });
  for (const protocolVersion of [3, 4, 5] as const) {
    expect(lab.hub.judgeArrival("10.0.0.9")).toBeUndefined();
    const dialled = lab.dial();
    dialled.connect({ protocolVersion, username: "anna", password: Buffer.from("guess") });
    while (!dialled.wire.isEnded) await new Promise((resolve) => setImmediate(resolve));
    expect(dialled.read()).toEqual([protocolVersion === 5 ? "connack 86" : "connack 4"]);
  }
  expect(lab.hub.judgeArrival("10.0.0.9")).toBe("banned");
});
