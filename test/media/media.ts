// The media of these tests: made as `npm run media` makes it, signed with a throw-away key, and taken out of the image again. A second one
// of a later date stands for the next version. Both are made once a run.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toolPath } from "../support/requirements.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const MEDIA_TOOLS = ["xorriso", "pandoc", "patchelf", "dpkg-deb", "rpmbuild", "openssl", "python3"];
const NEXT_EPOCH_SECONDS = 4_000_000_000;

export type Media = {
  /** As it was taken out of the image; with one program for each side, so that it is verified in a second. */
  readonly tree: string;
  /** The same of a later date. */
  readonly next: string;
  readonly key: string;
  readonly publicKey: string;
};

// Below dist/ by process, so that every file of one run finds what an earlier one made; what a run that is over has left goes at once.
const RUNS = join(ROOT, "dist/.media-test");
const RUN = join(RUNS, `${process.pid}`);
mkdirSync(RUN, { recursive: true });
for (const pid of readdirSync(RUNS)) if (!existsSync(`/proc/${pid}`)) removeRun(join(RUNS, pid));

function removeRun(folder: string): void {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  for (const place of mounts
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${folder}/`)))
    spawnSync(toolPath("umount"), ["-l", place]);
  rmSync(folder, { recursive: true, force: true });
}

export function workPath(name: string): string {
  return join(RUN, name);
}

function makeKey(): string {
  const path = workPath("vendor.key");
  if (!existsSync(path)) run("openssl", "genrsa", "-out", path, "3072");
  return path;
}

export function makeMedia(): Media {
  const key = makeKey();
  const more = ["--targets=linux-x64-baseline", "--formats=iso"];
  const tree = makeAndExtract("media", { key, more });
  const next = makeAndExtract("next", { key, more, epochSeconds: NEXT_EPOCH_SECONDS });
  return { tree, next, key, publicKey: join(tree, "tidegate-media.pub") };
}

/** Programs for every kind of host of this machine's processor, and packages. */
export function makeFullMedia(): string {
  const targets = "--targets=linux-x64,linux-x64-baseline,linux-x64-musl";
  return makeAndExtract("full", { key: makeKey(), more: [targets, "--formats=iso,packages"] });
}

/** Through the image, as it is carried into the plant. */
function makeAndExtract(name: string, wishes: Wishes): string {
  const folder = workPath(`${name}-made`);
  const tree = workPath(name);
  if (existsSync(tree)) return tree;
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
  const copy = workPath(name);
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
  const clone = workPath(name);
  run("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone);
  cpSync(join(ROOT, "node_modules"), join(clone, "node_modules"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  return clone;
}
