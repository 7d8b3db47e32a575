// The media of these tests: made as `npm run media` makes it, signed with a throw-away key, and taken out of the image again. A second one
// of a later date stands for the next version. Both are made once a run.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toolPath } from "../support/requirements.ts";
import { Workspace } from "../support/workspace.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const MEDIA_TOOLS = ["xorriso", "pandoc", "patchelf", "dpkg-deb", "rpmbuild", "openssl", "python3"];
const NEXT_EPOCH_SECONDS = 4_000_000_000;

export type Media = {
  /** As it was taken out of the image. */
  readonly tree: string;
  /** Of a later date, and small: one program for each side. */
  readonly next: string;
  readonly key: string;
  readonly publicKey: string;
};

let made: Media | undefined;
const workspace = new Workspace("media");
process.on("exit", () => workspace.remove());

export function makeMedia(): Media {
  made ??= build();
  return made;
}

function build(): Media {
  const key = workspace.path("vendor.key");
  run("openssl", "genrsa", "-out", key, "3072");
  const targets = "--targets=linux-x64,linux-x64-baseline,linux-x64-musl";
  const tree = makeAndExtract("media", { key, more: [targets, "--formats=iso,packages"] });
  const more = ["--targets=linux-x64-baseline", "--formats=iso"];
  const next = makeAndExtract("next", { key, more, epochSeconds: NEXT_EPOCH_SECONDS });
  return { tree, next, key, publicKey: join(tree, "tidegate-media.pub") };
}

/** Through the image, as it is carried into the plant. */
function makeAndExtract(name: string, wishes: Wishes): string {
  const folder = workspace.path(`${name}-made`);
  const tree = workspace.path(name);
  makeInto(folder, wishes);
  const [image = ""] = readdirSync(folder).filter((each) => each.endsWith(".iso"));
  run("xorriso", "-osirrox", "on", "-indev", join(folder, image), "-extract", "/", tree);
  rmSync(folder, { recursive: true });
  return tree;
}

type Wishes = {
  readonly key?: string;
  readonly more: readonly string[];
  readonly epochSeconds?: number;
  readonly root?: string;
};

/** Runs the media's build; `root` is another checkout of the repository. */
export function makeInto(folder: string, { key, more, epochSeconds, root = ROOT }: Wishes): void {
  const signing = key === undefined ? [] : ["--key", key];
  const env = {
    ...process.env,
    TIDEGATE_MEDIA_CACHE: join(ROOT, "dist/.media"),
    ...(epochSeconds === undefined ? {} : { SOURCE_DATE_EPOCH: `${epochSeconds}` }),
  };
  const args = [join(root, "build/media/main.mjs"), "--output", folder, ...signing, ...more];
  const done = spawnSync(toolPath("node"), args, { env, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`the media could not be made: ${done.stderr}`);
}

/** A copy to spoil. Hard links, so that it costs nothing: what is changed must be replaced, not written into. */
export function copyMedia(tree: string, name: string): string {
  const copy = workspace.path(name);
  rmSync(copy, { recursive: true, force: true });
  run("cp", "-al", tree, copy);
  return copy;
}

/** Puts other content in the place of a file, and the new hash into the signed list. */
export function replaceAndSign(media: Media, tree: string, path: string, content: string): void {
  replaceFile(join(tree, path), content, 0o755);
  const hash = createHash("sha256").update(content).digest("hex");
  const sums = readFileSync(join(tree, "SHA256SUMS"), "utf8").replace(
    new RegExp(`^[0-9a-f]{64}(?=  ${path.replaceAll(".", "\\.")}$)`, "m"),
    hash,
  );
  replaceFile(join(tree, "SHA256SUMS"), sums);
  rmSync(join(tree, "SHA256SUMS.sig"));
  run(
    "openssl",
    "dgst",
    "-sha256",
    "-sign",
    media.key,
    "-out",
    join(tree, "SHA256SUMS.sig"),
    join(tree, "SHA256SUMS"),
  );
}

export function replaceFile(path: string, content: string | Uint8Array, mode = statSync(path).mode): void {
  rmSync(path);
  writeFileSync(path, content, { mode });
}

/** The files that SHA256SUMS lists. */
export function listSummed(tree: string): string[] {
  const lines = readFileSync(join(tree, "SHA256SUMS"), "utf8").trimEnd().split("\n");
  return lines.map((line) => line.slice(66));
}

export function run(program: string, ...args: readonly string[]): string {
  const done = spawnSync(toolPath(program), args, { encoding: "utf8", maxBuffer: 64 << 20 });
  if (done.status === 0) return done.stdout;
  throw new Error(
    `${program} ${args.join(" ")} failed: ${done.error?.message ?? ""}${done.stderr}${done.stdout}`,
  );
}

/** A clone of the commit as it is, with the packages of this checkout. */
export function cloneRepository(name: string): string {
  const clone = workspace.path(name);
  run("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone);
  cpSync(join(ROOT, "node_modules"), join(clone, "node_modules"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  return clone;
}

export function workPath(name: string): string {
  return workspace.path(name);
}
