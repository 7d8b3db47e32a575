// The media of these tests: made as `npm run media` makes it, signed with a throw-away key, and taken out of the image again. A second one
// of a later date stands for the next version. Both are made once a run.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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

export type ThinMedia = { readonly tree: string; readonly sums: string };

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

export async function makeMedia(): Promise<Media> {
  const key = makeKey();
  const more = ["--targets=linux-x64-baseline", "--formats=iso"];
  const tree = await makeAndExtract("media", { key, more });
  // In a clone: programs that carry another date must not take the place of those in dist/, which other tests run meanwhile.
  const root = () => cloneRepository("next-clone");
  const next = await makeAndExtract("next", { key, more, root, epochSeconds: NEXT_EPOCH_SECONDS });
  return { tree, next, key, publicKey: join(tree, "tidegate-media.pub") };
}

/** Programs for every kind of host that tests have, and packages. */
export function makeFullMedia(): Promise<string> {
  const targets = "--targets=linux-x64,linux-x64-baseline,linux-x64-musl,linux-arm64";
  return makeAndExtract("full", { key: makeKey(), more: [targets, "--formats=iso,packages"] });
}

/** Through the image, as it is carried into the plant. */
async function makeAndExtract(
  name: string,
  wishes: Omit<Wishes, "root"> & { readonly root?: () => string },
): Promise<string> {
  const folder = workPath(`${name}-made`);
  const tree = workPath(name);
  if (existsSync(tree)) return tree;
  await makeInto(folder, { ...wishes, root: wishes.root?.() });
  const [image = ""] = readdirSync(folder).filter((each) => each.endsWith(".iso"));
  run("xorriso", "-osirrox", "on", "-indev", join(folder, image), "-extract", "/", tree);
  rmSync(folder, { recursive: true });
  return tree;
}

type Wishes = {
  readonly key?: string;
  readonly more: readonly string[];
  readonly epochSeconds?: number;
  readonly root?: string | undefined;
};

/** Runs the media's build while others go on; `root` is another checkout of the repository. */
export async function makeInto(folder: string, wishes: Wishes): Promise<void> {
  const { args, env } = describeBuild(folder, wishes);
  const build = Bun.spawn([toolPath("node"), ...args], { env, stdout: "ignore", stderr: "pipe" });
  const said = await new Response(build.stderr).text();
  if ((await build.exited) !== 0) throw new Error(`the media could not be made: ${said}`);
}

function describeBuild(folder: string, { key, more, epochSeconds, root = ROOT }: Wishes) {
  const signing = key === undefined ? [] : ["--key", key];
  const env = {
    ...process.env,
    TIDEGATE_MEDIA_CACHE: join(ROOT, "dist/.media"),
    ...(epochSeconds === undefined ? {} : { SOURCE_DATE_EPOCH: `${epochSeconds}` }),
  };
  return { env, args: [join(root, "build/media/main.mjs"), "--output", folder, ...signing, ...more] };
}

/** A copy to spoil. Hard links, so that it costs nothing: what is changed must be replaced, not written into. */
export function copyMedia(tree: string, name: string): string {
  const copy = workPath(name);
  rmSync(copy, { recursive: true, force: true });
  run("cp", "-al", tree, copy);
  return copy;
}

/** A copy that carries `keep` alone, and its list's hash for --sums: to verify all programs and packages takes long where it is emulated. */
export function thinMedia(tree: string, name: string, keep: (path: string) => boolean): ThinMedia {
  const copy = copyMedia(tree, name);
  const dropped = listSummed(tree).filter((path) => !keep(path));
  for (const path of dropped) rmSync(join(copy, path));
  const lines = readFileSync(join(tree, "SHA256SUMS"), "utf8").split("\n");
  const sums = lines.filter((line) => line === "" || keep(line.slice(66))).join("\n");
  replaceFile(join(copy, "SHA256SUMS"), sums);
  return { tree: copy, sums: createHash("sha256").update(sums).digest("hex") };
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
  run("cp", "-al", join(ROOT, "node_modules"), join(clone, "node_modules"));
  return clone;
}
