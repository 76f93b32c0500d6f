/** How `@huggingface/hub` speaks to the Hub: through this room's own requests, without the token. */
import { hubRequest, readBody, type RequestOptions } from "./request.ts";
import type { HubSettings } from "./settings.ts";

/** Longest answer of the Hub's API that is read: a page of a tree has 1,000 entries of 300 bytes. */
const longestAnswer = 64 * 1024 * 1024;

/** What the library adds to a request whose upload it wants to follow. */
interface Followed extends RequestInit {
  readonly progressHint?: { readonly progressCallback: (share: number) => void };
}

/** Parameters that every call of the library takes: where the Hub is, and how it is asked. */
export function throughLibrary(
  settings: HubSettings,
  options: RequestOptions,
): { hubUrl: string; fetch: typeof fetch } {
  const send = async (input: string | URL | Request, init: Followed = {}): Promise<Response> => {
    const response = await hubRequest(settings, addressOf(input), {
      ...options,
      init: followed(init),
    });
    const bytes = await readBody(response, settings, { ...options, limit: longestAnswer });
    const { status, headers } = response;
    return new Response(bytes.length === 0 ? null : new Uint8Array(bytes), { status, headers });
  };
  return { hubUrl: settings.endpoint, fetch: send };
}

function addressOf(input: string | URL | Request): string {
  return input instanceof Request ? input.url : String(input);
}

/** Sends a file as a stream of known length, so that what has left the machine can be counted. */
function followed({ progressHint, ...init }: Followed): RequestInit {
  const { body } = init;
  if (progressHint === undefined || !(body instanceof Blob) || body.size === 0) return init;
  let sent = 0;
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform: (part, controller) => {
      sent += part.length;
      progressHint.progressCallback(sent / body.size);
      controller.enqueue(part);
    },
  });
  const headers = new Headers(init.headers);
  headers.set("content-length", String(body.size));
  const stream = (body.stream() as ReadableStream<Uint8Array>).pipeThrough(count);
  // "half" is what fetch wants of a streamed body; its type in Node does not know the word.
  return { ...init, headers, body: stream, duplex: "half" } as RequestInit;
}
