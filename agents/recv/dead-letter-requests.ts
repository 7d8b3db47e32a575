// What the running agent does with requests of `dead-letters requeue`: has its desk put the letters on their way again.
import { join } from "node:path";
import * as z from "zod";
import { RequestDesk } from "../../shared/admin/request-desk.ts";
import type { Logger } from "../../shared/log.ts";
import type { DeadLetterDesk } from "./dead-letter-desk.ts";

/** As many as a request of bounded size can name. */
export const REQUEST_IDS_MAX = 200;
const word = z.string().min(1).max(64).optional();

const requeueRequest = z.strictObject({
  ids: z.array(z.int().min(1)).min(1).max(REQUEST_IDS_MAX).optional(),
  target: word,
  reason: word,
});
export type RequeueRequest = z.infer<typeof requeueRequest>;

export function requeueDirectory(deadLettersDirectory: string): string {
  return join(deadLettersDirectory, "requeue");
}

export function openRequeueDesk(deadLettersDirectory: string, desk: DeadLetterDesk, log: Logger) {
  const directory = requeueDirectory(deadLettersDirectory);
  return new RequestDesk(directory, requeueRequest, log, (request) => desk.requeue(request));
}
