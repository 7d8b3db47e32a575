// What the listening source needs of the agent's core: to hand over messages, and to keep small notes in the journal
// in the same transaction, so that sessions, QoS 2 packet identifiers and wills survive what the messages survive.
import type { Message, Qos } from "../../../../shared/message.ts";
import type { LossReason } from "../../intake.ts";
import type { Notes } from "../../journal.ts";

export type Keeper = {
  accept(source: string, message: Message, onSettled?: () => void, notes?: Notes): void;
  refuse(
    source: string,
    reason: LossReason,
    topic: string,
    payloadBytes: number,
    qos: Qos,
    onSettled: () => void,
    notes?: Notes,
  ): void;
  setAside(source: string, rule: string, qos: Qos, onSettled: () => void, notes?: Notes): void;
  note(notes: Notes, onKept: () => void): void;
  readNotes(prefix: string): Map<string, string>;
};
