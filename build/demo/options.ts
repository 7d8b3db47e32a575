// Reads the command line of the demonstration. Refuses what it does not know.
import { parseArgs } from "node:util";

export const USAGE = `npm start -- [--seconds N] [--rate N]
  --seconds N   publish for N seconds (1 to 86400), then settle the account and end; without it: until Ctrl-C
  --rate N      messages a second (1 to 20000; 200 unless told)`;

export type DemoOptions = {
  /** Undefined: until Ctrl-C. */
  readonly seconds: number | undefined;
  readonly messagesPerSecond: number;
};

/** The options, or a sentence about what is wrong with them, or "help". */
export function readOptions(args: readonly string[]): DemoOptions | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seconds: { type: "string" },
        rate: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return "help";
    const seconds = readNumber("--seconds", values.seconds, 86_400);
    const rate = readNumber("--rate", values.rate, 20_000);
    if (typeof seconds === "string") return seconds;
    if (typeof rate === "string") return rate;
    return { seconds, messagesPerSecond: rate ?? 200 };
  } catch (error) {
    return `cannot start the demonstration: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function readNumber(name: string, text: string | undefined, max: number): number | string | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  return `cannot read ${name}: is "${text}", must be a whole number from 1 to ${max}`;
}
