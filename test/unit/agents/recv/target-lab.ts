// A spool in memory, targets that do what a test says, and the desk between them: without sockets, timers or files.
import { DeadLetterDesk } from "../../../../agents/recv/dead-letter-desk.ts";
import { DeadLetters } from "../../../../agents/recv/dead-letters.ts";
import { emptyLinkState } from "../../../../agents/recv/link/session.ts";
import { Spool } from "../../../../agents/recv/spool.ts";
import { LETTERS_MARK } from "../../../../agents/recv/spool-salvage.ts";
import { TargetDesk } from "../../../../agents/recv/target-desk.ts";
import { PLAIN_PLAN, type TargetPlan } from "../../../../agents/recv/targets/plan.ts";
import type { Judgement, TargetOutcome } from "../../../../agents/recv/targets/runner.ts";
import type { Target, TargetState } from "../../../../agents/recv/targets/target.ts";
import { ContentWriter } from "../../../../shared/framing/content.ts";
import type { Message, Qos } from "../../../../shared/message.ts";
import type { BlockLog } from "../../../../shared/store/block-log.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";

type Settle = (outcome: TargetOutcome, detail?: string) => void;

/** Publishes into a list; what is sent waits until the test settles it, or is settled at once by `answer`. */
export class FakeTarget implements Target {
  readonly type = "fake";
  readonly address = "fake";
  readonly problem = undefined;
  state: TargetState = "down";
  connections = 0;
  window = 0;
  /** Topics in the order they were published. */
  readonly sent: string[] = [];
  /** Messages of QoS 0 that it takes at once. */
  roomNow = 0;
  readonly flights: { topic: string; settle: Settle }[] = [];
  answer: ((topic: string) => [TargetOutcome, string?] | undefined) | undefined = () => ["forwarded"];
  rule: (message: Message, ageMs: number) => Judgement = (publish) => ({ publish });
  onReady = () => {};

  constructor(
    readonly name: string,
    readonly plan: TargetPlan = PLAIN_PLAN,
  ) {}

  connect(window = 10): void {
    this.state = "connected";
    this.connections++;
    this.window = window;
    this.onReady();
  }

  disconnect(): void {
    this.state = "down";
    this.window = 0;
  }

  judge(message: Message, ageMs: number): Judgement {
    return this.rule(message, ageMs);
  }

  sendNow({ topic, qos }: Message): boolean {
    if (qos !== 0 || this.roomNow === 0 || this.flights.length > 0) return false;
    this.roomNow--;
    this.sent.push(topic);
    return true;
  }

  publish({ topic }: Message, onSettled: Settle): void {
    this.sent.push(topic);
    const answer = this.answer?.(topic);
    if (answer === undefined) this.flights.push({ topic, settle: onSettled });
    else onSettled(...answer);
  }

  /** Settles what waits, the oldest first. */
  settle(count: number, outcome: TargetOutcome = "forwarded", detail?: string): void {
    for (const flight of this.flights.splice(0, count)) flight.settle(outcome, detail);
  }

  async close(): Promise<void> {}
}

export class TargetLab {
  readonly log: BlockLog = openBlockLog("", "", "memory");
  readonly letterLog: BlockLog = openBlockLog("", "", "memory");
  /** While true, the disk of the dead letters takes nothing. */
  isLetterDiskFull = false;
  readonly letters: DeadLetters;
  spool: Spool;
  letterDesk: DeadLetterDesk;
  desk: TargetDesk;
  targets: FakeTarget[];
  nowMs = 1_000_000_000;
  steadyMs = 0;
  accepted = 0;
  #work: (() => void)[] = [];

  constructor(
    targets: FakeTarget[],
    readonly spoolBytesMax = 1e9,
    letterBytesMax = 1e6,
  ) {
    const write = this.letterLog.write.bind(this.letterLog);
    this.letterLog.write = (work) => {
      if (this.isLetterDiskFull) throw new Error("database or disk is full");
      write(work);
    };
    this.letters = new DeadLetters(this.letterLog, letterBytesMax);
    this.targets = targets;
    this.spool = new Spool(this.log, spoolBytesMax);
    this.letterDesk = this.#openLetters();
    this.desk = this.#openDesk();
  }

  /** A content of these topics, with a payload each. */
  arrive(topics: readonly string[], payloadBytes = 1, qosOf: (topic: string) => Qos = () => 1): void {
    const writer = new ContentWriter();
    const messages = topics.map((topic) => {
      const payload = Buffer.alloc(payloadBytes, topic);
      const message = {
        topic,
        payload,
        qos: qosOf(topic),
        retain: false,
        properties: undefined,
        acceptedMs: this.nowMs,
      };
      writer.addMessage(message);
      return message;
    });
    const row = { stream: 0, first: this.accepted, count: topics.length, skip: 0, content: writer.take() };
    this.accepted += topics.length;
    this.spool.append([{ ...row, messages }], emptyLinkState(), new Map(), this.nowMs, 0);
    this.desk.wake();
  }

  /** Contents of one message each, "PREFIX1" on. */
  arriveMany(prefix: string, count: number, payloadBytes = 1): void {
    for (let index = 1; index <= count; index++) this.arrive([`${prefix}${index}`], payloadBytes);
  }

  /** Lets all have its turn. */
  run(): void {
    while (this.#work.length > 0) for (const work of this.#work.splice(0)) work();
  }

  /** As the agent's timers do. */
  pass(ms: number, stepMs = 20): void {
    for (let passed = 0; passed < ms; passed += stepMs) {
      this.steadyMs += stepMs;
      this.nowMs += stepMs;
      this.desk.tick(this.steadyMs);
      this.run();
    }
  }

  /** The agent dies with what it had not saved, and starts again with these targets. */
  crash(targets: FakeTarget[]): void {
    this.#work = [];
    this.targets = targets;
    this.spool = new Spool(this.log, this.spoolBytesMax);
    this.letterDesk = this.#openLetters();
    this.desk = this.#openDesk();
    this.desk.wake();
  }

  ledger(name: string) {
    return this.desk.ledger(name);
  }

  #openLetters(): DeadLetterDesk {
    return new DeadLetterDesk(this.letters, this.spool.value(LETTERS_MARK), "store", () => this.nowMs);
  }

  #openDesk(): TargetDesk {
    const rim = { clock: () => this.nowMs, later: (work: () => void) => this.#work.push(work) };
    return new TargetDesk(this.spool, this.targets, () => this.accepted, rim, this.letterDesk);
  }
}

export function names(prefix: string, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => `${prefix}${from + index}`);
}
