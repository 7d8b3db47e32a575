// Runs every test there is, from a fresh checkout on: installs what is missing, checks the sources, compiles
// the agents and lets the compiled programs prove themselves. The last line counts all of it.
// With CI=true a tool that is missing is a failure, because a skipped proof would look like a proof.
import { bootstrap } from "./bootstrap.mjs";
import { build } from "./build.mjs";
import { checkSources, Gate } from "./gate.mjs";
import { extendPath, installTools } from "./tools.mjs";

const bun = bootstrap();
const mustRun = process.env.CI === "true";
const env = { ...process.env, PATH: extendPath(process.env.PATH ?? "") };
if (mustRun) env.TIDEGATE_TESTS_MUST_RUN = "1";
installTools(env);

const gate = new Gate(bun, env);
await checkSources(gate);
build(bun);
for (const folder of ["test/integration", "test/interop"]) await gate.testFiles(folder);
// The end-to-end tests wait more than they work: the install media are made and tried beside them.
await Promise.all([gate.testFiles("test/media"), gate.testFiles("test/e2e")]);
await gate.secondRuns();
process.exitCode = gate.report();
