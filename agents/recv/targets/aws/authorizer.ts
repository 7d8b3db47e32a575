// The user name that hands a token to a custom authorizer of AWS IoT Core ("Custom authentication"): the user's own
// name, then the authorizer, the token under its key, and its signature, each percent-encoded. Pure.

export type CustomAuthorizer = {
  /** undefined: the account's default authorizer. */
  readonly name: string | undefined;
  readonly username: string;
  readonly token?: { readonly key: string; readonly value: string } | undefined;
  /** Base64, of the token, with the authorizer's private key. */
  readonly signature?: string | undefined;
};

export function formatAuthorizerUser({ name, username, token, signature }: CustomAuthorizer): string {
  const fields: string[] = [];
  if (name !== undefined) fields.push(`x-amz-customauthorizer-name=${encodeURIComponent(name)}`);
  if (token !== undefined) fields.push(`${encodeURIComponent(token.key)}=${encodeURIComponent(token.value)}`);
  if (signature !== undefined)
    fields.push(`x-amz-customauthorizer-signature=${encodeURIComponent(signature)}`);
  return fields.length === 0 ? username : `${username}?${fields.join("&")}`;
}
