/** The candidate that takes the fewest edits, if that is few enough to be a slip, or whose initials the word is: `--lr`. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const initials = candidates.find((candidate) => word.length > 3 && word === initialsOf(candidate));
  if (initials !== undefined) return initials;
  let best: string | undefined;
  let fewest = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const edits = candidate.startsWith(word) ? 1 : distance(word, candidate);
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** `--learning-rate` → `--lr` */
function initialsOf(flag: string): string {
  return `--${flag.replace(/^--/, "").split("-").map((part) => part[0]).join("")}`;
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
