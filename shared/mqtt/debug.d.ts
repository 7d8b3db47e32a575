// What we use of the package "debug", which has no types of its own.

declare module "debug" {
  /** Silences every logger of the process, those made before included. */
  export function disable(): string;
}
