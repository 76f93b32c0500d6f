/** A seeded source of uniform numbers in [0, 1): sfc32, small and well mixed. Same seed, same answers. */
export function seededRandom(seed: number): () => number {
  let a = seed | 0;
  let b = Math.floor(seed / 0x1_0000_0000) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 0x1_0000_0000;
  };
  // The first outputs still show the seed's zeros.
  for (let i = 0; i < 15; i++) next();
  return next;
}

/** A seed that nobody chose. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 0x1_0000_0000);
}
