// HiveMQ CE, embedded in a small program (test/interop/mqtt/HivemqBroker.java), on a free loopback port.
import { fileURLToPath } from "node:url";
import { fetchLibraries, JavaProgram } from "./java.ts";
import { findFreeTcpPort } from "./ports.ts";
import { Workspace } from "./workspace.ts";

const file = (name: string) => fileURLToPath(new URL(`../interop/mqtt/${name}`, import.meta.url));
let libraries: string | undefined;

export type HivemqBridge = { readonly port: number; readonly version: "3" | "5"; readonly below: string };

export class Hivemq implements AsyncDisposable {
  private constructor(
    readonly port: number,
    readonly program: JavaProgram,
    private readonly workspace: Workspace,
  ) {}

  static async start(bridge?: HivemqBridge): Promise<Hivemq> {
    libraries ??= fetchLibraries(file("broker-pom.xml"));
    const workspace = new Workspace("hivemq");
    const port = await findFreeTcpPort();
    const more = bridge === undefined ? [] : [String(bridge.port), bridge.version, bridge.below];
    const args = [workspace.directory, String(port), ...more];
    const program = new JavaProgram(libraries, file("HivemqBroker.java"), args);
    await program.waitForLine((line) => line === "ready", "HiveMQ to be ready");
    return new Hivemq(port, program, workspace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program.kill();
    this.workspace.remove();
  }
}
