// Contents that tell which row they belong to in every byte, and end anywhere on a page.
const BYTES_MIN = 300_000;

export function makeContent(id: number): Buffer {
  return Buffer.alloc(BYTES_MIN + ((id * 7919) % 400_000), `content of row ${id}, `);
}
