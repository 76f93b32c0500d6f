/** Runs `draw` at most once per `ms`; the last call is never lost. */
export function throttle(draw: () => void, ms: number): { request(): void; flush(): void } {
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    draw();
  };
  return {
    request() {
      timer ??= setTimeout(flush, ms);
    },
    flush,
  };
}
