// One moment, as the two clocks of a host tell it. The wall clock is for what people and other hosts read, and may be
// set at any time, to any year. The steady clock only ever runs forward, from an arbitrary start: every patience, pace
// and silence is measured by it, so that setting the wall clock loses nothing and holds nothing up.
export type Moment = {
  /** Milliseconds since 1970, as this host believes. */
  readonly wallMs: number;
  /** Milliseconds since some moment before this process began to measure. */
  readonly steadyMs: number;
};
