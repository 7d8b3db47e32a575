// The bill of materials, CycloneDX 1.5: npm's own, made from the lock file, with what npm does not know added: the runtimes, and GCC's
// libraries for musl. Its serial number is made of its content and its time is the commit's, so that it is the same each time.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../bootstrap.mjs";
import { run } from "./run.mjs";
import { GCC, TARGETS } from "./targets.mjs";

export function writeBillOfMaterials(tree, stamp, targets) {
  const args = [
    "sbom",
    "--sbom-format",
    "cyclonedx",
    "--package-lock-only",
    "--omit",
    "dev",
    "--omit",
    "optional",
  ];
  const bill = JSON.parse(run("npm", args, { cwd: ROOT }));
  bill.metadata.timestamp = stamp.STAMPED_DATE;
  bill.metadata.component.name = "tidegate";
  bill.metadata.component.type = "application";
  // npm names the runtime's installer; what the programs contain is the runtime itself.
  bill.components = bill.components.filter(({ name }) => name !== "bun" && !name.startsWith("@oven/"));
  bill.components.push(...findForgotten(bill.components));
  bill.components.push(...targets.flatMap((target) => describeTarget(tree, target)));
  const known = new Set([
    bill.metadata.component["bom-ref"],
    ...bill.components.map((part) => part["bom-ref"]),
  ]);
  bill.dependencies = bill.dependencies
    .filter(({ ref }) => known.has(ref))
    .map((entry) => ({ ...entry, dependsOn: (entry.dependsOn ?? []).filter((ref) => known.has(ref)) }));
  delete bill.serialNumber;
  bill.serialNumber = `urn:uuid:${makeUuid(JSON.stringify(bill))}`;
  writeFileSync(join(tree, "sbom.cdx.json"), `${JSON.stringify(bill, null, 2)}\n`);
}

// npm's own list lacks some packages that the lock file has and the programs contain (seen with npm 11: debug, buffer and others).
function findForgotten(components) {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const known = new Set(components.map(({ name, version }) => `${name}@${version}`));
  return Object.entries(packages).flatMap(([path, entry]) => {
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    const ref = `${name}@${entry.version}`;
    const isOurs = path !== "" && !entry.dev && !entry.devOptional && !entry.optional && name !== "bun";
    if (!isOurs || known.has(ref)) return [];
    known.add(ref);
    const content = Buffer.from(entry.integrity.replace("sha512-", ""), "base64").toString("hex");
    const licenses = entry.license === undefined ? [] : [{ license: { id: entry.license } }];
    const purl = `pkg:npm/${name.replace("@", "%40")}@${entry.version}`;
    const hashes = [{ alg: "SHA-512", content }];
    const facts = { name, version: entry.version, scope: "required", purl, hashes, licenses };
    return [{ "bom-ref": ref, type: "library", ...facts }];
  });
}

function describeTarget(tree, target) {
  const { version } = JSON.parse(readFileSync(join(ROOT, "node_modules/bun/package.json"), "utf8"));
  const { runtime } = TARGETS[target];
  const where = [{ name: "tidegate:target", value: target }];
  const parts = [
    {
      "bom-ref": `${runtime}@${version}#${target}`,
      type: "platform",
      name: runtime,
      version,
      scope: "required",
      purl: `pkg:npm/%40oven/${runtime}@${version}`,
      licenses: [{ license: { id: "MIT" } }],
      properties: [...where, { name: "tidegate:linked-libraries", value: "licences/bun.md" }],
    },
  ];
  const folder = join(tree, "lib", target);
  for (const file of readdirSync(folder)
    .filter((name) => name.includes(".so."))
    .sort()) {
    const content = createHash("sha256")
      .update(readFileSync(join(folder, file)))
      .digest("hex");
    parts.push({
      "bom-ref": `${file}@${GCC.version}#${target}`,
      type: "library",
      name: file.startsWith("libstdc++") ? "libstdc++" : "libgcc",
      version: GCC.version,
      scope: "required",
      hashes: [{ alg: "SHA-256", content }],
      licenses: [{ expression: GCC.licence }],
      purl: `pkg:generic/gcc@${GCC.version}`,
      properties: where,
    });
  }
  for (const agent of ["send", "recv"]) {
    const path = `bin/${target}/tidegate-${agent}`;
    const content = createHash("sha256")
      .update(readFileSync(join(tree, path)))
      .digest("hex");
    parts.push({
      "bom-ref": path,
      type: "file",
      name: path,
      hashes: [{ alg: "SHA-256", content }],
      licenses: [{ license: { id: "Apache-2.0" } }],
      properties: where,
    });
  }
  return parts;
}

/** Version 8 of RFC 9562: the bits are ours to choose. */
function makeUuid(text) {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
