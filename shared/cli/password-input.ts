// Reads one password from standard input: one line of a pipe, or, at a terminal, what is typed, without showing it.
import type { ReadStream } from "node:tty";

const BYTES_MAX = 65_536;
const INTERRUPT = "\u0003";
const BACKSPACE = /[\b\u007f]/;

/** The password; undefined when the input was cut off (Ctrl-C). */
export async function readPassword(
  input: ReadStream,
  prompt: (text: string) => void,
): Promise<string | undefined> {
  if (!input.isTTY) {
    let text = "";
    for await (const chunk of input) {
      text += String(chunk);
      if (text.includes("\n") || text.length > BYTES_MAX) break;
    }
    return text.split("\n")[0]?.replace(/\r$/, "");
  }
  prompt("Password: ");
  input.setRawMode(true);
  input.setEncoding("utf8");
  try {
    return await readKeys(input);
  } finally {
    input.setRawMode(false);
    input.pause();
    prompt("\n");
  }
}

function readKeys(input: ReadStream): Promise<string | undefined> {
  let text = "";
  return new Promise((resolve) => {
    input.on("end", () => resolve(text === "" ? undefined : text));
    input.on("data", (chunk) => {
      for (const key of String(chunk)) {
        if (key === INTERRUPT) resolve(undefined);
        else if (key === "\r" || key === "\n") resolve(text);
        else if (BACKSPACE.test(key)) text = [...text].slice(0, -1).join("");
        else if (text.length < BYTES_MAX) text += key;
      }
    });
  });
}
