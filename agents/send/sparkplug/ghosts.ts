// Edge nodes that were alive when the agent last ran, from its journal: name and life, nothing of their metrics. One that has
// died meanwhile may never say so to anybody, and would be taken for alive at the business side for ever; so they are
// asked, and who does not answer is told to be dead. Refuses notes that it did not write.

export type Ghost = {
  readonly group: string;
  readonly node: string;
  readonly bdSeq: bigint | undefined;
  /** Timestamp of its last NBIRTH. */
  readonly born: bigint;
};

export class Ghosts {
  readonly #ghosts = new Map<string, Ghost>();

  /** `notes`: what formatGhost() wrote, by GROUP/NODE. */
  remember(notes: ReadonlyMap<string, string>): void {
    for (const [key, text] of notes) {
      const ghost = parseGhost(key, text);
      if (ghost !== undefined) this.#ghosts.set(key, ghost);
    }
  }

  [Symbol.iterator](): Iterator<Ghost> {
    return this.#ghosts.values();
  }

  find(group: string, node: string): Ghost | undefined {
    return this.#ghosts.get(`${group}/${node}`);
  }

  /** It was seen, alive or dead. */
  lay(group: string, node: string): void {
    this.#ghosts.delete(`${group}/${node}`);
  }
}

export function formatGhost(bdSeq: bigint | undefined, born: bigint): string {
  return JSON.stringify({ ...(bdSeq === undefined ? {} : { bdSeq: String(bdSeq) }), born: String(born) });
}

function parseGhost(key: string, text: string): Ghost | undefined {
  const [group, node, ...rest] = key.split("/");
  const match = /^\{(?:"bdSeq":"(\d{1,20})",)?"born":"(\d{1,20})"\}$/.exec(text);
  if (group === undefined || node === undefined || rest.length > 0 || match === null) return undefined;
  const [, bdSeq, born = "0"] = match;
  return { group, node, bdSeq: bdSeq === undefined ? undefined : BigInt(bdSeq), born: BigInt(born) };
}
