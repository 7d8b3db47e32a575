// Paints lines on a terminal, or prints a plain line a second where there is none. Leaves the terminal as it
// was found, with what stood on it.
import type { Line, Style } from "./screen.ts";

const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const CODES: Record<Style, string> = {
  plain: "",
  faint: "\x1b[2m",
  strong: "\x1b[1m",
  good: "\x1b[32m",
  bad: "\x1b[31;1m",
  link: "\x1b[36m",
};

export class Terminal {
  #entered = false;
  readonly #colours: boolean;

  constructor(private readonly out: NodeJS.WriteStream) {
    this.#colours = (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";
  }

  /** Whether there is a screen to draw on. */
  get isScreen(): boolean {
    return this.out.isTTY === true && process.env.TERM !== "dumb";
  }

  get columns(): number {
    return this.out.columns || 80;
  }

  get rows(): number {
    return this.out.rows || 24;
  }

  /** Replaces what is on the screen. */
  paint(lines: readonly Line[]): void {
    if (!this.#entered) this.out.write(ENTER);
    this.#entered = true;
    const text = lines.map((line) => `${this.#format(line)}\x1b[K`).join("\r\n");
    // Drawn in one piece over the old picture, so that nothing flickers.
    this.out.write(`\x1b[?2026h\x1b[H${text}\x1b[J\x1b[?2026l`);
  }

  print(line: string): void {
    this.out.write(`${line}\n`);
  }

  /** Brings back what was there before the first picture. */
  leave(): void {
    if (this.#entered) this.out.write(LEAVE);
    this.#entered = false;
  }

  #format(line: Line): string {
    let room = this.columns;
    return line
      .map(([text, style = "plain"]) => {
        const cut = [...text].slice(0, room).join("");
        room -= [...cut].length;
        return this.#colours && CODES[style] !== "" ? `${CODES[style]}${cut}\x1b[0m` : cut;
      })
      .join("");
  }
}
