// What a client's connection is, whichever way its bytes come: TCP, TLS, WebSocket on either.

export type Wire = {
  /** The address of the client, without its port. */
  readonly address: string;
  /** Of the listener it came to, as it is configured. */
  readonly listener: string;
  /** The user that its certificate names, where that counts. */
  readonly certificateUser: string | undefined;
  /** True while what was written has not left, beyond what is fair. */
  readonly isCongested: boolean;
  write(bytes: Uint8Array): void;
  /** Stops and starts reading. */
  rest(wanted: boolean): void;
  /** Closes once what was written has left. */
  end(): void;
};
