// The exit statuses of both programs; service managers and scripts rely on them.

export const EXIT = {
  /** All went well. */
  ok: 0,
  /** It failed while it ran. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The configuration is wrong (EX_CONFIG of sysexits.h): starting again will not help. */
  config: 78,
} as const;

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];
