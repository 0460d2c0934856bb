// Values of the WebGPU specification. The global GPUBufferUsage does not exist in Node.
export const MAP_READ = 0x0001;
export const COPY_SRC = 0x0004;
export const COPY_DST = 0x0008;
export const UNIFORM = 0x0040;
export const STORAGE = 0x0080;
export const QUERY_RESOLVE = 0x0200;
export const STAGE_COMPUTE = 0x4;
export const MODE_READ = 0x1;
