// What esbuild's loaders make of files that are not code.
declare module "*.wasm" {
  const bytes: Uint8Array<ArrayBuffer>;
  export default bytes;
}
declare module "*.wgsl" {
  const text: string;
  export default text;
}
