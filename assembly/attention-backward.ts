import { exp4 } from "./lib/exp";
import { multiplyPanel, packColumns, packTransposed, PANEL_COLUMNS } from "./lib/panel";
import { firstLanes, loadTail, madd, sumLanes } from "./lib/simd";

// A tile gives dq of 24 queries, or dk and dv of 32 keys; src/ops/attention-backward.ts has the same numbers.
const QUERIES = 24;
const KEYS = 32;
const EDGE_BYTES = 192;
const SQUARE_BYTES: usize = QUERIES * KEYS * 4;

/** One call: pointers of one (sequence, key head) and sizes, in scratch so that the pieces below share them. */
@unmanaged
class Job {
  q: usize; // first query head of the group, like y, dy, dq
  k: usize; // like v, dk, dv
  v: usize;
  y: usize;
  dy: usize;
  lse: usize; // f32[group, length]
  qRow: usize; // bytes from one row to the next
  kRow: usize;
  headBytes: usize;
  length: i32;
  headDim: i32;
  group: i32;
  scale: f32;
  edge: usize; // f32[6, 8]
  panels: usize; // 2 × f32[KEYS / 8][headDim][8]: keys, then values
  p: usize; // f32[QUERIES, KEYS]
  ds: usize; // f32[QUERIES, KEYS]
}
const JOB_BYTES: usize = 128;

export function attentionBackward(
  q: usize, // f32[batch, length, heads, headDim], like y, dy, dq
  k: usize, // f32[batch, length, kvHeads, headDim], like v, dk, dv
  v: usize, y: usize, dy: usize,
  lse: usize, // f32[batch, heads, length]
  dq: usize, dk: usize, dv: usize,
  batch: i32, queryLength: i32, keyLength: i32, heads: i32, kvHeads: i32, headDim: i32, scale: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const job = changetype<Job>(scratch);
  const headBytes = <usize>headDim << 2;
  job.headBytes = headBytes;
  job.qRow = <usize>heads * headBytes;
  job.kRow = <usize>kvHeads * headBytes;
  job.length = queryLength;
  job.headDim = headDim;
  job.group = heads / kvHeads;
  job.scale = scale;
  job.edge = scratch + JOB_BYTES;
  job.p = job.edge + EDGE_BYTES;
  job.ds = job.p + SQUARE_BYTES;
  job.panels = job.ds + SQUARE_BYTES;
  const queryTiles = (queryLength + QUERIES - 1) / QUERIES;
  const keyTiles = (queryLength + KEYS - 1) / KEYS;
  const across = queryTiles + keyTiles;
  for (let tile = begin; tile < end; tile++) {
    const kvHead = tile / across % kvHeads;
    const sequence = tile / across / kvHeads;
    const qAt = (<usize>sequence * <usize>queryLength * <usize>heads + <usize>(kvHead * job.group)) * headBytes;
    const kAt = (<usize>sequence * <usize>queryLength * <usize>kvHeads + <usize>kvHead) * headBytes;
    job.q = q + qAt;
    job.y = y + qAt;
    job.dy = dy + qAt;
    job.k = k + kAt;
    job.v = v + kAt;
    job.lse = lse + (<usize>(sequence * heads + kvHead * job.group) * <usize>queryLength << 2);
    const part = tile % across;
    if (part < queryTiles) queryTile(job, part * QUERIES, dq + qAt);
    else keyTile(job, (part - queryTiles) * KEYS, dk + kAt, dv + kAt);
  }
}

/** dq of `QUERIES` queries of every head: dq = dS · K, over blocks of keys. */
function queryTile(job: Job, query: i32, dq: usize): void {
  const rows = min(QUERIES, job.length - query);
  const to = dq + <usize>query * job.qRow;
  for (let key = 0; key < query + rows; key += KEYS) {
    const keys = min(KEYS, job.length - key);
    packKeys(job, key, keys);
    for (let h = 0; h < job.group; h++) {
      softmaxGradient(job, h, query, rows, key, keys);
      multiplyIn(job, job.ds, <usize>KEYS << 2, 4, job.k + <usize>key * job.kRow, job.kRow, to + <usize>h * job.headBytes, job.qRow, rows, keys, key == 0);
    }
  }
}

/** dk and dv of `KEYS` keys: dk = dSᵀ · Q, dv = Pᵀ · dY, over the heads of the group and blocks of queries. */
function keyTile(job: Job, key: i32, dk: usize, dv: usize): void {
  const keys = min(KEYS, job.length - key);
  const at = <usize>key * job.kRow;
  packKeys(job, key, keys);
  for (let h = 0; h < job.group; h++) {
    const head = <usize>h * job.headBytes;
    for (let query = key; query < job.length; query += QUERIES) {
      const rows = min(QUERIES, job.length - query);
      const fresh = h == 0 && query == key;
      const from = <usize>query * job.qRow + head;
      softmaxGradient(job, h, query, rows, key, keys);
      multiplyIn(job, job.p, 4, <usize>KEYS << 2, job.dy + from, job.qRow, dv + at, job.kRow, keys, rows, fresh);
      multiplyIn(job, job.ds, 4, <usize>KEYS << 2, job.q + from, job.qRow, dk + at, job.kRow, keys, rows, fresh);
    }
  }
}

function packKeys(job: Job, key: i32, keys: i32): void {
  const bytes = job.headBytes * PANEL_COLUMNS;
  let panel = job.panels;
  for (let j = 0; j < KEYS; j += PANEL_COLUMNS) {
    const columns = max(0, min(PANEL_COLUMNS, keys - j));
    const from = <usize>(key + j) * job.kRow;
    packTransposed(job.k + from, job.kRow, columns, job.headDim, panel);
    packTransposed(job.v + from, job.kRow, columns, job.headDim, panel + bytes * (KEYS / PANEL_COLUMNS));
    panel += bytes;
  }
}

/** P and dS = scale · P ∘ (dY · Vᵀ − rowsum(dY ∘ Y)) of one head, rows × the packed keys; zero where masked. */
function softmaxGradient(job: Job, h: i32, query: i32, rows: i32, key: i32, keys: i32): void {
  const from = <usize>query * job.qRow + <usize>h * job.headBytes;
  const bytes = job.headBytes * PANEL_COLUMNS;
  const square = <usize>KEYS << 2;
  let panel = job.panels;
  for (let j: usize = 0; j < square; j += 32) {
    multiplyPanel(job.q + from, job.qRow, 4, panel, 32, job.p + j, square, rows, PANEL_COLUMNS, job.headDim, true, job.edge);
    multiplyPanel(job.dy + from, job.qRow, 4, panel + bytes * (KEYS / PANEL_COLUMNS), 32, job.ds + j, square, rows, PANEL_COLUMNS, job.headDim, true, job.edge);
    panel += bytes;
  }
  const scale = f32x4.splat(job.scale);
  for (let r = 0; r < rows; r++) {
    const at = from + <usize>r * job.qRow;
    const visible = min(keys, query + r + 1 - key);
    const delta = f32x4.splat(dot(job.dy + at, job.y + at, job.headDim));
    const shift = f32x4.splat(load<f32>(job.lse + (<usize>(h * job.length + query + r) << 2)));
    const p = job.p + <usize>r * square, ds = job.ds + <usize>r * square;
    for (let j = 0; j < KEYS; j += 4) {
      const here = <usize>j << 2;
      const e = v128.and(exp4(f32x4.sub(f32x4.mul(v128.load(p + here), scale), shift)), firstLanes(visible - j));
      v128.store(p + here, e);
      v128.store(ds + here, f32x4.mul(scale, f32x4.mul(e, f32x4.sub(v128.load(ds + here), delta))));
    }
  }
}

function dot(a: usize, b: usize, n: i32): f32 {
  const whole = n & ~3;
  const tail = n & 3;
  let sum = f32x4.splat(0);
  for (let i = 0; i < whole; i += 4) sum = madd(v128.load(a + (<usize>i << 2)), v128.load(b + (<usize>i << 2)), sum);
  const at = <usize>whole << 2;
  if (tail) sum = madd(loadTail(a + at, tail, 0), loadTail(b + at, tail, 0), sum);
  return sumLanes(sum);
}

/** c[rows, headDim] (+)= a[rows, k] · b[k, headDim], b read where it lies. */
function multiplyIn(job: Job, a: usize, aRow: usize, aStep: usize, b: usize, bRow: usize, c: usize, cRow: usize, rows: i32, k: i32, fresh: bool): void {
  // The packed keys are still needed, so a last narrow panel goes behind them.
  const spare = job.panels + 2 * job.headBytes * KEYS;
  for (let column = 0; column < job.headDim; column += PANEL_COLUMNS) {
    const wide = min(PANEL_COLUMNS, job.headDim - column);
    const at = <usize>column << 2;
    if (wide == PANEL_COLUMNS) {
      multiplyPanel(a, aRow, aStep, b + at, bRow, c + at, cRow, rows, wide, k, fresh, job.edge);
    } else {
      packColumns(b + at, bRow, wide, k, spare);
      multiplyPanel(a, aRow, aStep, spare, 32, c + at, cRow, rows, wide, k, fresh, job.edge);
    }
  }
}
