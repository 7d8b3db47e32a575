// One pipe path: the standard input of a program, a serial device or a named pipe, written to and never read. The program gets no
// shell and of the environment only PATH and LANG; its standard output goes nowhere, its standard error to the log when
// that is at debug. Refuses nothing for good: what ends is started again.
import { closeSync } from "node:fs";
import type { PipeEnd } from "../../../shared/config/path-tables.ts";
import type { Logger } from "../../../shared/log.ts";
import { startCommand } from "../../../shared/native/command.ts";
import { openDevice } from "../../../shared/native/device.ts";
import type { OpenStream } from "./stream-path.ts";

export async function openPipeStream(end: PipeEnd, log: Logger): Promise<OpenStream> {
  if (end.kind === "device") {
    const fd = openDevice(end.device, "write", end.baud);
    return { fd, close: () => closeSync(fd) };
  }
  const command = startCommand(end.command, "write", log);
  return { fd: command.fd, ended: command.ended, close: () => command.close() };
}
