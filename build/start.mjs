// `npm start`: both agents at work on this machine, between two brokers, with plant data going through.
// Installs and compiles what is missing first; needs Node and npm, nothing else.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { bootstrap, ROOT } from "./bootstrap.mjs";
import { build } from "./build.mjs";

const bun = bootstrap();
build(bun);
// --no-orphans: should this script be killed, the demonstration ends and takes both agents with it.
const args = ["--no-orphans", "build/demo/main.ts", ...process.argv.slice(2)];
const demo = spawn(bun, args, { cwd: ROOT, stdio: "inherit" });
// Ctrl-C reaches the demonstration, too; it prints its ledger and ends, and only then this script does.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => demo.kill(signal));
demo.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
