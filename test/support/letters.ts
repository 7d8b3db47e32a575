// The dead letters of a running agent as its user lists them.
import { runProgram } from "./agents.ts";
import type { Site } from "./site.ts";
import { waitFor } from "./wait.ts";

/** What `dead-letters list` prints once it fits: letters are kept a moment after they are counted. */
export async function waitForLetters(site: Site, fits: (text: string) => boolean): Promise<string> {
  let last = "";
  const list = () => {
    last = runProgram("recv", ["dead-letters", "list", "--config", site.recvFile]).stdout;
    return fits(last) ? last : undefined;
  };
  return await waitFor("the letters", 20_000, list, () => last);
}
