import type { RequestOptions } from "./protocol/connection.ts";

/** Milliseconds that the engine is given to end an answer itself. */
const patience = 60;

/**
 * Asks for an answer that ends when it is stopped, though the engine hears of that only between two
 * parts of a prompt, which take up to half a second on a large base. Once something was written, what
 * there is comes from the engine. It reads what comes next after the wish to stop, so that the next
 * request begins where the part ends.
 * @param stopped what is answered, or thrown, where nothing was written yet
 */
export async function stopAtOnce<R, E>(
  options: RequestOptions<E>,
  ask: (options: RequestOptions<E>) => Promise<R>,
  { stopped, wait = patience }: { stopped: () => R; wait?: number },
): Promise<R> {
  const { signal } = options;
  let [hasBegun, isOver] = [false, false];
  const answer = ask({
    ...options,
    onEvent: (event) => {
      hasBegun = true;
      if (!isOver) options.onEvent?.(event);
    },
  });
  if (!signal || signal.aborted) return answer;
  let timer: NodeJS.Timeout | undefined;
  let listen = (): void => undefined;
  const early = new Promise<null>((done) => {
    listen = () => (timer = setTimeout(() => hasBegun || done(null), wait));
    signal.addEventListener("abort", listen, { once: true });
  });
  try {
    const ended = await Promise.race([answer.then((result) => ({ result })), early]);
    if (ended) return ended.result;
    // Nobody waits for it any more.
    answer.catch(() => undefined);
    return stopped();
  } finally {
    isOver = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", listen);
  }
}
