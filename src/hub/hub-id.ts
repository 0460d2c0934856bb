/** A model or an adapter on the Hugging Face Hub. */
export interface HubId {
  /** `owner/name` */
  readonly repo: string;
  /** A branch, a tag, a commit, or `refs/pr/N`. */
  readonly revision: string;
  /** One GGUF file among several: its name, or the end of it that names its quantization. */
  readonly gguf: string | undefined;
}

const ID = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@(\w[\w./-]*))?(?::(\w[\w.+-]*))?$/;

/**
 * `owner/name`, `owner/name@revision`, `owner/name:Q4_K_M`, `owner/name@revision:file.gguf`.
 * @returns undefined for what cannot be one. What Hub names never contain is refused, since folders of the cache are named after them.
 */
export function parseHubId(text: string): HubId | undefined {
  const [, repo, revision = "main", gguf] = ID.exec(text) ?? [];
  if (repo === undefined || /--|\.\.|\.(git|gguf|safetensors)$/.test(repo) || revision.includes("..")) return undefined;
  return { repo, revision, gguf };
}
