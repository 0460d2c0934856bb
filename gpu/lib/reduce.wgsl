// Sums and maxima over a workgroup of 256, in a fixed order: a tree over lanes.
var<workgroup> reduced: array<f32, 256>;

fn sum_of_workgroup(value: f32, lane: u32) -> f32 {
  reduced[lane] = value;
  workgroupBarrier();
  for (var width = 128u; width > 0u; width /= 2u) {
    if (lane < width) { reduced[lane] += reduced[lane + width]; }
    workgroupBarrier();
  }
  let total = reduced[0];
  workgroupBarrier();
  return total;
}

fn max_of_workgroup(value: f32, lane: u32) -> f32 {
  reduced[lane] = value;
  workgroupBarrier();
  for (var width = 128u; width > 0u; width /= 2u) {
    if (lane < width) { reduced[lane] = max(reduced[lane], reduced[lane + width]); }
    workgroupBarrier();
  }
  let largest = reduced[0];
  workgroupBarrier();
  return largest;
}
