// The part of a service manager that listens: an AF_UNIX datagram socket, which the runtime itself cannot open, held by Python.
// It keeps every message that comes, in order.
import { spawn } from "node:child_process";
import { toolPath } from "./requirements.ts";
import { waitFor } from "./wait.ts";

const SCRIPT = `
import os, socket, sys
name = sys.argv[1]
socket_ = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
socket_.bind("\\0" + name[1:] if name[0] == "@" else name)
if name[0] == "/": os.chmod(name, 0o777)
print("[]", flush=True)
import json
while True: print(json.dumps(socket_.recv(4096).decode()), flush=True)
`;

export type NotifyListener = AsyncDisposable & { readonly messages: readonly string[] };

/** Listens at a path, or at "@name" in the abstract namespace; `before` stands before the program. */
export async function listenNotify(name: string, before: readonly string[] = []): Promise<NotifyListener> {
  const [program = "", ...args] = [...before, toolPath("python3"), "-c", SCRIPT, name];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const messages: string[] = [];
  let unfinished = "";
  let isReady = false;
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    const lines = (unfinished + text).split("\n");
    unfinished = lines.pop() ?? "";
    for (const line of lines) {
      if (isReady) messages.push(JSON.parse(line) as string);
      isReady = true;
    }
  });
  await waitFor("a listening service manager", 10_000, () => isReady);
  return {
    messages,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await waitFor("the end of the service manager", 5000, () => child.signalCode !== null);
    },
  };
}
