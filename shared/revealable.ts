/** A secret that is only opened where it is used. */
export type Revealable<T> = { reveal(): T };
