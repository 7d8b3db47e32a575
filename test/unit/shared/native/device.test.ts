import { afterAll, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { openDevice } from "../../../../shared/native/device.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("device");
afterAll(() => workspace.remove());

test("openDevice() opens a named pipe to read without waiting for a writer, and refuses to write to nobody", () => {
  const fifo = workspace.path("fifo");
  Bun.spawnSync(["mkfifo", fifo]);
  expect(() => openDevice(fifo, "write", undefined)).toThrow(
    `cannot open ${fifo}: nobody reads the named pipe, or the device is gone`,
  );
  const reader = openDevice(fifo, "read", undefined);
  closeSync(openDevice(fifo, "write", undefined));
  expect(() => openDevice(fifo, "read", 9600)).toThrow("it is no serial device, and baud is given");
  closeSync(reader);
});

test("openDevice() refuses what is no stream", () => {
  const file = workspace.write("file", "");
  expect(() => openDevice(file, "write", undefined)).toThrow(
    `cannot open ${file}: it is neither a device nor a named pipe`,
  );
  expect(() => openDevice(workspace.directory, "read", undefined)).toThrow(
    "neither a device nor a named pipe",
  );
  expect(() => openDevice(workspace.path("none"), "read", undefined)).toThrow("there is no such file");
});
