// What a program can be told on its command line, as data: main.ts writes the table, parse.ts and help.ts read it.

export type OptionSpec = {
  /** Without the dashes. */
  readonly name: string;
  /** What stands after it in the help, such as FILE; absent for a switch, which takes no value. */
  readonly value?: string;
  readonly summary: string;
  readonly required?: boolean;
  /** The option may also stand alone, without its name, as in `keygen FILE`. */
  readonly positional?: boolean;
};

export type CommandSpec = {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionSpec[];
};

export type CommandTable = {
  readonly program: string;
  readonly summary: string;
  /** What `--version` prints. */
  readonly version: string;
  readonly commands: readonly CommandSpec[];
};

/** The option that all commands but keygen have. It has no default: which link an agent carries is no guess. */
export const CONFIG_OPTION: OptionSpec = {
  name: "config",
  value: "FILE",
  summary: "The configuration (required)",
  required: true,
};

export const KEYGEN_COMMAND: CommandSpec = {
  name: "keygen",
  summary: "Write a new link key to FILE, which must not exist, and print its id",
  options: [
    {
      name: "out",
      value: "FILE",
      summary: "Where to write the key",
      required: true,
      positional: true,
    },
  ],
};
