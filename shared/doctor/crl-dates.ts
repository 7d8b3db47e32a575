// When a certificate revocation list was made and when the next is due, out of its DER [RFC 5280 5.1]. Reads no more of it than that; what is
// no such list is undefined.

export type CrlDates = { readonly thisUpdateMs: number; readonly nextUpdateMs: number | undefined };

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

type Element = { readonly tag: number; readonly start: number; readonly end: number };

/** CertificateList ::= SEQUENCE { tbsCertList SEQUENCE { version?, signature, issuer, thisUpdate, nextUpdate?, … } … } */
export function readCrlDates(der: Uint8Array): CrlDates | undefined {
  const list = readElement(der, 0);
  const body = list?.tag === SEQUENCE ? readElement(der, list.start) : undefined;
  if (body?.tag !== SEQUENCE) return undefined;
  let next = readElement(der, body.start);
  if (next?.tag === INTEGER) next = readElement(der, next.end);
  // signature and issuer
  for (let skipped = 0; skipped < 2; skipped++)
    next = next?.tag === SEQUENCE ? readElement(der, next.end) : undefined;
  const thisUpdateMs = next && readTime(der, next);
  if (next === undefined || thisUpdateMs === undefined) return undefined;
  const after = next.end < body.end ? readElement(der, next.end) : undefined;
  return { thisUpdateMs, nextUpdateMs: after && readTime(der, after) };
}

function readElement(der: Uint8Array, at: number): Element | undefined {
  const [tag, first] = [der[at], der[at + 1]];
  if (tag === undefined || first === undefined) return undefined;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 4) return undefined;
  let length = lengthBytes === 0 ? first : 0;
  for (let index = 0; index < lengthBytes; index++) length = length * 256 + (der[at + 2 + index] ?? 0);
  const start = at + 2 + lengthBytes;
  return start + length > der.length ? undefined : { tag, start, end: start + length };
}

/** YYMMDDHHMMSSZ (50 and above are the last century) or YYYYMMDDHHMMSSZ. */
function readTime(der: Uint8Array, { tag, start, end }: Element): number | undefined {
  if (tag !== UTC_TIME && tag !== GENERALIZED_TIME) return undefined;
  const text = Buffer.from(der.subarray(start, end)).toString("latin1");
  const digits = tag === UTC_TIME ? `${Number(text.slice(0, 2)) >= 50 ? "19" : "20"}${text}` : text;
  const parts = digits.match(/^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second] = parts.map(Number);
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
}
