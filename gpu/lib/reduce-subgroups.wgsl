// As lib/reduce.wgsl, by subgroups: two barriers instead of nine. A subgroup is a run of neighbouring invocations, of one
// size, a power of two from 4 to 128: every driver makes them so from a workgroup of one dimension that they divide.
var<workgroup> reduced: array<f32, 64>;

fn sum_of_workgroup(value: f32, lane: u32) -> f32 {
  let sum = subgroupAdd(value);
  let size = subgroupAdd(1u);
  if (subgroupElect()) { reduced[lane / size] = sum; }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 256u / size; i++) { total += reduced[i]; }
  workgroupBarrier();
  return total;
}

fn max_of_workgroup(value: f32, lane: u32) -> f32 {
  let most = subgroupMax(value);
  let size = subgroupAdd(1u);
  if (subgroupElect()) { reduced[lane / size] = most; }
  workgroupBarrier();
  var largest = reduced[0];
  for (var i = 1u; i < 256u / size; i++) { largest = max(largest, reduced[i]); }
  workgroupBarrier();
  return largest;
}

