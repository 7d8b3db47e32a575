// Files carried by hand, and a receiver that is killed between two of them: what is in the files it has read, and not yet in its
// spool, must still be in its inbox.
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";
import { PathRig } from "./path-rig.ts";

const PAYLOAD = Buffer.from(crypto.getRandomValues(new Uint8Array(400_000)));

requireTools(["mosquitto"])("a directory path whose receiver is killed", () => {
  // The first file ends in the middle of a message; the second one alone is behind a hole.
  test.each(["first", "second"])(
    "with the %s of several files read and not the others, loses nothing",
    async (which) => {
      await using site = await Site.open();
      for (const name of ["outbox", "inbox"]) mkdirSync(site.workspace.path(name));
      const rig = await PathRig.start(site, {
        send: [
          {
            type: "directory",
            directory: "outbox",
            file_seconds: 0.2,
            file_bytes_max: 65_536,
            rate_mbit_per_second: 20,
          },
        ],
        recv: [{ type: "directory", directory: "inbox", poll_seconds: 0.1 }],
        recvLink: { patience_ms: 3_600_000 },
      });
      const waiting = () =>
        readdirSync(site.workspace.path("outbox"))
          .filter((name) => !name.startsWith("."))
          .sort();
      const carry = (name: string) =>
        renameSync(site.workspace.path(`outbox/${name}`), site.workspace.path(`inbox/${name}`));
      await rig.near.publish("plant/x", PAYLOAD, { qos: 1 });
      await rig.waitForSent();
      await waitFor(
        "the files",
        10_000,
        () => waiting().length >= 6,
        () => rig.tails(),
      );
      const chosen = waiting()[which === "first" ? 0 : 3];
      if (chosen === undefined) throw new Error("there is no such file");
      carry(chosen);
      await rig.readPaths("the file to be read", ([path]) => path?.events.files === 1);
      await rig.recv.kill();
      rig.recv = await waitUntilReady(site.startRecv());
      for (const name of waiting()) carry(name);
      const [message] = await rig.far.waitForCount(1, "plant/x", () => rig.tails());
      expect(message?.payload.equals(PAYLOAD)).toBe(true);
      expect((await rig.recv.readStatus<RecvStatus>()).ledger.lost).toEqual({});
      await waitFor("an empty inbox", 10_000, () => readdirSync(site.workspace.path("inbox")).length === 0);
    },
    60_000,
  );
});
