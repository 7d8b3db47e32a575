// Fills a log and empties it again as fast as it goes, until it is killed: started by segments-kill.test.ts. Says on standard output
// what is committed: "first last", the ids of the rows that there are.
import { openBlockLog } from "../../shared/store/open.ts";
import { makeContent } from "./segment-content.ts";

/**
 * Rows that are kept, rows of a transaction, transactions after which rows are deleted and files looked for that are done with: two of
 * them are begun meanwhile, so that they are used again.
 */
const KEPT = 100;
const ROWS = 8;
const TURNS = 5;

const [directory = ""] = process.argv.slice(2);
const log = openBlockLog(directory, "x.db", "fsync");
for (let turn = 1; ; turn++) {
  let first = 0;
  log.write(() => {
    for (let row = 0; row < ROWS; row++) {
      const id = log.lastId + 1;
      const content = makeContent(id);
      log.append({ stream: 0, first: id, count: 1, skip: 0, timeMs: id, clockDifferenceMs: 0, content });
    }
    first = Math.max(1, log.lastId - KEPT + 1);
    if (turn % TURNS === 0) log.deleteTo(first - 1);
  });
  if (turn % TURNS !== 0) continue;
  process.stdout.write(`${first} ${log.lastId}\n`);
  log.rest?.();
}
