/** A repository of the Hub, as a user names it. */
export interface HubPlace {
  readonly id: string;
  readonly revision?: string;
}

/** "owner/name", "owner/name@revision". */
export function readHubId(text: string): HubPlace | undefined {
  const match = /^(?:https?:\/\/[^/]+\/)?([\w.-]+\/[\w.-]+)(?:(?:@|\/tree\/)([\w./-]+))?\/?$/.exec(
    text.trim(),
  );
  const [, id, revision] = match ?? [];
  return id === undefined ? undefined : { id, ...(revision !== undefined && { revision }) };
}
