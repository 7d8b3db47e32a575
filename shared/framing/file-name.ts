// Names of the files of a directory path: LINK_EPOCH_NUMBER.tgd, the epoch as 16 hexadecimal digits, the number as 10 decimal
// ones, so that the files of a link sort in the order they were made. Refuses every other name.

const NAME = /^([A-Za-z0-9._-]{1,64})_([0-9a-f]{16})_([0-9]{10})\.tgd$/;

export type FileName = { readonly linkId: string; readonly epoch: bigint; readonly number: number };

export function formatFileName(linkId: string, epoch: bigint, number: number): string {
  return `${linkId}_${epoch.toString(16).padStart(16, "0")}_${String(number).padStart(10, "0")}.tgd`;
}

export function parseFileName(name: string): FileName | undefined {
  const [, linkId, epoch, number] = NAME.exec(name) ?? [];
  if (linkId === undefined) return undefined;
  return { linkId, epoch: BigInt(`0x${epoch}`), number: Number(number) };
}
