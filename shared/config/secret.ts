// A value that must never reach a log, a status page or an error message: it shows itself as "[secret]"
// to every way of printing, and only `reveal` gives it away, so that each use can be found by its name.

const SHOWN = "[secret]";

export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  /** The same secret in another form, never shown on the way. */
  map<U>(change: (value: T) => U): Secret<U> {
    return new Secret(change(this.#value));
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }

  // What console.log and template tools call, in Node and in Bun.
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return SHOWN;
  }
}
