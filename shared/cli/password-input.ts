// Reads one password from standard input: one line of a pipe, or, at a terminal, what is typed twice, without showing it.
// Refuses two that differ. Whatever ends the typing, the terminal is as it was before.
import type { ReadStream } from "node:tty";

const BYTES_MAX = 65_536;
/** Ctrl-C, Ctrl-D and Ctrl-\: the terminal itself does nothing about them while keys are read one by one. */
const GIVE_UP = "\u0003\u0004\u001c";
const ERASE = "\b\u007f";
/** Ctrl-U. */
const ERASE_ALL = "\u0015";
/** What arrow and function keys send. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const FUNCTION_KEYS = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|O.)/g;

/** cancelled: given up by the one who types, or the terminal went away. */
export type PasswordInput =
  | { readonly ok: true; readonly password: string }
  | { readonly ok: false; readonly reason: "cancelled" | "different" };

export async function readPassword(
  input: ReadStream,
  prompt: (text: string) => void,
): Promise<PasswordInput> {
  if (!input.isTTY) return { ok: true, password: await readLine(input) };
  const keys = new Keys(input);
  try {
    const password = await ask(keys, prompt, "Password: ");
    if (password === undefined) return { ok: false, reason: "cancelled" };
    const again = await ask(keys, prompt, "Once more: ");
    if (again === undefined) return { ok: false, reason: "cancelled" };
    return again === password ? { ok: true, password } : { ok: false, reason: "different" };
  } finally {
    keys.close();
  }
}

async function readLine(input: ReadStream): Promise<string> {
  let text = "";
  for await (const chunk of input) {
    text += String(chunk);
    if (text.includes("\n") || text.length > BYTES_MAX) break;
  }
  return (text.split("\n")[0] ?? "").replace(/\r$/, "");
}

async function ask(
  keys: Keys,
  prompt: (text: string) => void,
  question: string,
): Promise<string | undefined> {
  prompt(question);
  const answer = await keys.readLine();
  prompt("\n");
  return answer;
}

/** The keys of a terminal that shows none of them. What is typed or pasted ahead stays for the next question. */
class Keys {
  readonly #input: ReadStream;
  #ahead = "";
  #hasEnded = false;
  #wake: () => void = () => {};
  readonly #onData = (chunk: unknown) => {
    if (this.#ahead.length < BYTES_MAX) this.#ahead += String(chunk).replace(FUNCTION_KEYS, "");
    this.#wake();
  };
  readonly #onEnd = () => {
    this.#hasEnded = true;
    this.#wake();
  };

  constructor(input: ReadStream) {
    this.#input = input;
    input.setRawMode(true);
    input.setEncoding("utf8");
    input.on("data", this.#onData);
    input.on("end", this.#onEnd);
    input.on("error", this.#onEnd);
  }

  /** undefined: given up. */
  async readLine(): Promise<string | undefined> {
    let text = "";
    for (;;) {
      const taken = [...this.#ahead];
      this.#ahead = "";
      for (const [index, key] of taken.entries()) {
        if (GIVE_UP.includes(key)) return undefined;
        if (key === "\r" || key === "\n") {
          this.#ahead = taken.slice(index + 1).join("");
          return text;
        }
        if (ERASE.includes(key)) text = [...text].slice(0, -1).join("");
        else if (key === ERASE_ALL) text = "";
        else if (key >= " " && text.length < BYTES_MAX) text += key;
      }
      if (this.#hasEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#input.off("data", this.#onData);
    this.#input.off("end", this.#onEnd);
    this.#input.off("error", this.#onEnd);
    this.#input.setRawMode(false);
    this.#input.pause();
  }
}
