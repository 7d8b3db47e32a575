// What the repository asks of packages: exact versions, a reason for each, and a lock file that installs
// anywhere: complete for every kind of machine, and without the address of any registry.

export type Manifest = {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
};

export type LockFile = {
  readonly packages: Readonly<Record<string, LockEntry>>;
};

export type LockEntry = {
  readonly version?: string;
  readonly resolved?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};

/** A range would let two installs of one commit differ. */
export function findLooseVersions(manifest: Manifest): string[] {
  const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
  return all.flatMap(([name, version]) => {
    return /^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)
      ? []
      : [`package.json:1: ${name} is ${version}, must be one exact version`];
  });
}

/** Each dependency has a row in docs/dependencies.md that says why it is there, and no row is left over. */
export function findUnexplained(manifest: Manifest, page: string): string[] {
  const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  const rows = new Map<string, string>();
  for (const match of page.matchAll(/^\| `([^`]+)` *\|(.*)\|$/gm)) rows.set(match[1] ?? "", match[2] ?? "");
  const missing = names.filter((name) => (rows.get(name)?.trim().length ?? 0) < 20);
  const left = [...rows.keys()].filter((name) => !names.includes(name));
  return [
    ...missing.map((name) => `docs/dependencies.md:1: has no reason for ${name}`),
    ...left.map((name) => `docs/dependencies.md:1: explains ${name}, which is no dependency`),
  ];
}

/** `npm ci` refuses a lock file that lacks a package made for another kind of machine. */
export function findLockFaults(lock: LockFile): string[] {
  return Object.entries(lock.packages).flatMap(([path, entry]) => {
    const faults = entry.resolved === undefined ? [] : [`package-lock.json:1: ${path} names a registry`];
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const locked = lock.packages[`${path}/node_modules/${name}`] ?? lock.packages[`node_modules/${name}`];
      if (locked?.version === undefined)
        faults.push(`package-lock.json:1: lacks ${name} ${version}, which npm ci wants`);
    }
    return faults;
  });
}

const LICENCES = new Set(["MIT", "ISC", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"]);

/** What is compiled into the programs must be free to pass on inside them. */
export function findStrangeLicences(lock: LockFile): string[] {
  return Object.entries(lock.packages).flatMap(([path, { license, dev, optional }]) => {
    if (path === "" || dev === true || optional === true || LICENCES.has(license ?? "")) return [];
    return [
      `package-lock.json:1: ${path} is under ${license ?? "no licence"}, which the programs may not contain`,
    ];
  });
}
