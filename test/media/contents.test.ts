// What is on the media, and that it is the same each time it is made from the same commit.
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { requireTools } from "../support/requirements.ts";
import { cloneRepository, listSummed, MEDIA_TOOLS, makeFullMedia, makeInto, run, workPath } from "./media.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CONTENT = join(ROOT, "build/media/content");
const EXPOSURE_MAX = 2;
type LockFile = {
  readonly packages: Readonly<
    Record<string, { readonly dev?: boolean; readonly devOptional?: boolean; readonly optional?: boolean }>
  >;
};
/** e_machine of an ELF header. */
const X86_64 = 62;
const AARCH64 = 183;

requireTools(["shellcheck", "dash", "busybox"])("the installer's scripts", () => {
  test.each(["install.sh", "install-steps.sh", "set-neighbours"])(
    "%s is clean for shellcheck, dash and busybox",
    (name) => {
      run("shellcheck", "-s", "sh", "-x", "-P", CONTENT, join(CONTENT, name));
      run("dash", "-n", join(CONTENT, name));
      run("busybox", "sh", "-n", join(CONTENT, name));
    },
  );
});

requireTools(["systemd-analyze"])("the units", () => {
  test.each(["send", "recv"])("tidegate-%s.service has an exposure below 2.0", (side) => {
    const text = readFileSync(join(CONTENT, `systemd/tidegate-${side}.service`), "utf8");
    const unit = workPath(`tidegate-${side}.service`);
    writeFileSync(unit, text.replaceAll("@BIN@", "/usr/bin").replaceAll("@LIB@", "/usr/lib/tidegate"));
    const report = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit);
    const exposure = Number(report.match(/Overall exposure level for \S+: ([\d.]+)/)?.[1]);
    expect(exposure).toBeGreaterThan(0);
    expect(exposure).toBeLessThan(EXPOSURE_MAX);
    for (const name of ["BUN_BE_BUN", "BUN_OPTIONS", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"])
      expect(text).toMatch(new RegExp(`^UnsetEnvironment=.*\\b${name}\\b`, "m"));
    expect(text).toContain("\nRestartPreventExitStatus=2 78\n");
    expect(text).toContain("\nEnvironment=BUN_JSC_forceRAMSize=2147483648\n");
    expect(text).toContain("\nEnvironment=MIMALLOC_PURGE_DELAY=1000\n");
    expect(text).toMatch(/^IPAddressDeny=any$/m);
    expect(text).toMatch(/^IPAddressAllow=localhost link-local multicast \S/m);
  });
});

requireTools(MEDIA_TOOLS)("the media", () => {
  let tree: string;
  beforeAll(async () => {
    tree = await makeFullMedia();
  }, 240_000);
  const read = (path: string) => readFileSync(join(tree, path), "utf8");

  test("has all that a plant needs, and nothing that its list does not name", () => {
    const listed = new Set(listSummed(tree));
    for (const path of [
      ...["install.sh", "README.md", "CHANGELOG.md", "LICENSE", "sbom.cdx.json", "ca/mozilla-roots.pem"],
      ...[
        "systemd/tidegate-send.service",
        "openrc/tidegate-recv",
        "container/Containerfile",
        "wireshark/tidegate.lua",
      ],
      ...[
        "examples/send.toml",
        "examples/recv.toml",
        "examples/profiles/mqtt.toml",
        "man/tidegate-send.8",
        "man/tidegate-operating.7",
        "manual/index.html",
      ],
      ...[
        "bin/linux-x64-musl/tidegate-recv",
        "lib/linux-x64-musl/libstdc++.so.6",
        "licences/packages.txt",
        "licences/gcc.txt",
      ],
    ])
      expect([path, listed.has(path)]).toEqual([path, true]);
    const there = run("find", tree, "-type", "f", "-printf", "%P\\n").trimEnd().split("\n");
    const unlisted = there.filter((path) => !listed.has(path)).sort();
    expect(unlisted).toEqual(["SHA256SUMS", "SHA256SUMS.sig", "tidegate-media.pub"]);
    for (const path of listed) if (/private|\.key$/i.test(path)) throw new Error(`${path} is on the media`);
  });

  test("carries one example for each profile of the repository, with directories the unit may write to", () => {
    const list = (folder: string) => readdirSync(join(folder, "examples/targets.d")).sort();
    expect(list(tree)).toEqual(list(ROOT));
    expect(read("examples/send.toml")).toContain('directory = "/var/lib/tidegate/send/journal"');
    expect(read("examples/recv.toml")).toContain('directory = "/var/lib/tidegate/recv/spool"');
  });

  test("carries a commented profile for each type of target that the program has, and names them in its README", () => {
    const help = run(join(ROOT, "dist/tidegate-recv"), "init", "--help");
    const types = help.match(/One of ([a-z0-9, -]+)/)?.[1]?.split(", ") ?? [];
    expect(types).toContain("aws-iot");
    expect(readdirSync(join(tree, "examples/profiles")).sort()).toEqual(
      types.map((type) => `${type}.toml`).sort(),
    );
    for (const type of types) {
      expect(read(`examples/profiles/${type}.toml`)).toContain(`\ntype = "${type}"\n`);
      expect(read("README.md")).toMatch(new RegExp(`examples/profiles/.*\\b${type}\\b`));
    }
  });

  test("has a README whose commands name what is on it", () => {
    const readme = read("README.md");
    expect(readme).not.toMatch(/@[A-Z]+@/);
    for (const [, path = ""] of readme.matchAll(/(?:^\| |, )`([a-z][\w./-]*)`/gm))
      expect([path, existsSync(join(tree, path)) || path.startsWith("packages")]).toEqual([path, true]);
    const help = run("sh", join(tree, "install.sh"), "--help");
    const options = new Set(
      [...readme.matchAll(/install\.sh[^\n]*?(--[a-z-]+)/g)].map((match) => match[1] ?? ""),
    );
    expect(options.size).toBeGreaterThan(4);
    for (const option of options) if (option !== "--help") expect(help).toContain(option);
  });

  test("has a manual whose links lead to its own pages", () => {
    const pages = readdirSync(join(tree, "manual")).filter((name) => name.endsWith(".html"));
    expect(pages.length).toBeGreaterThan(10);
    for (const page of pages) {
      for (const [, picture = ""] of read(`manual/${page}`).matchAll(/<img[^>]* src="([^"]+)"/g))
        expect([page, picture, existsSync(join(tree, "manual", picture))]).toEqual([page, picture, true]);
      for (const [, target = ""] of read(`manual/${page}`).matchAll(/href="([a-z-]+\.html)(?:#[^"]*)?"/g))
        expect([page, target, existsSync(join(tree, "manual", target))]).toEqual([page, target, true]);
      expect(read(`manual/${page}`)).not.toMatch(/(src|href)="https?:[^"]*\.(css|js)"/);
    }
    expect(read("man/tidegate-send.8")).toContain("tidegate-send keygen FILE");
  });

  test("has programs for the right machine, and a bill of materials that names all of their parts", () => {
    const bill = JSON.parse(read("sbom.cdx.json")) as {
      bomFormat: string;
      components: { name: string; version?: string; hashes?: { content: string }[]; "bom-ref": string }[];
    };
    expect(bill.bomFormat).toBe("CycloneDX");
    const names = new Set(bill.components.map(({ name }) => name));
    // Whatever the lock file has for the product itself.
    const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as LockFile;
    const wanted = Object.entries(lock.packages).flatMap(([path, { dev, devOptional, optional }]) => {
      const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
      return path === "" || dev || devOptional || optional || name === "bun" ? [] : [name];
    });
    expect(wanted.length).toBeGreaterThan(40);
    expect([...wanted, "bun-linux-x64", "libstdc++"].filter((name) => !names.has(name))).toEqual([]);
    for (const target of readdirSync(join(tree, "bin"))) {
      for (const side of ["send", "recv"]) {
        const path = `bin/${target}/tidegate-${side}`;
        const bytes = readFileSync(join(tree, path));
        expect(bytes.readUInt16LE(18)).toBe(target.startsWith("linux-arm64") ? AARCH64 : X86_64);
        expect(statSync(join(tree, path)).mode & 0o777).toBe(0o755);
        const part = bill.components.find((each) => each["bom-ref"] === path);
        expect(part?.hashes?.[0]?.content).toBe(createHash("sha256").update(bytes).digest("hex"));
      }
    }
  });
});

requireTools([...MEDIA_TOOLS, "git"])("npm run media", () => {
  test("gives the same bytes from two clean clones: programs, packages, archive and image", async () => {
    // Both at once: much of it keeps one core busy.
    const hashes = await Promise.all(
      ["one", "another-longer-path"].map(async (name) => {
        const clone = cloneRepository(name);
        const output = join(clone, "dist/media");
        await makeInto(output, { root: clone, more: ["--targets=linux-x64-baseline"] });
        const listing = run("sh", "-c", `cd "${output}" && find . -type f -exec sha256sum {} + | sort -k2`);
        rmSync(clone, { recursive: true });
        return listing;
      }),
    );
    expect(hashes[0]).toContain(".iso");
    expect(hashes[0]).toContain(".tar.gz");
    expect(hashes[0]).toContain(".rpm");
    expect(hashes[0]).toBe(hashes[1] ?? "");
  }, 400_000);
});

describe("the recipe for a container", () => {
  test("copies what the media has and runs nothing", () => {
    const recipe = readFileSync(join(CONTENT, "container/Containerfile"), "utf8");
    expect(recipe).not.toMatch(/^(RUN|ADD)\b/m);
    expect(recipe).toMatch(/^USER 65532:65532$/m);
  });
});
