// The gate before every commit: format, lint, types, rules of the repository, unit tests, simulation.
import { bootstrap } from "./bootstrap.mjs";
import { checkSources, Gate } from "./gate.mjs";

const gate = new Gate(bootstrap(), process.env);
await checkSources(gate);
process.exitCode = gate.report();
